"""PyTorch ClipCaer model: context-aware academic emotion recognition on CLIP."""

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from transformers import CLIPModel, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs, add_start_docstrings, can_return_tuple

from .clip_loading import load_clip_model
from .configuration_clipcaer import ClipCaerConfig
from .face_adapter import FaceAdapter
from .fusion import build_fusion
from .input_checks import check_streams
from .label_texts import tokenize
from .model_output import ClipCaerOutput
from .names import public_name
from .prompt_learner import DescriptivePrompts, SoftPromptLearner, as_list
from .prototypes import LearnedPrototypes, SlerpWeight, instance_logits
from .raer_labels import RAER_DESCRIPTIVE_PROMPTS, RAER_LABEL_PROMPTS, RAER_LABELS
from .strict_loading import load_strictly
from .temporal_encoder import TemporalEncoder
from .video_classification import name_pipelines


_DRAWN_BY_THEMSELVES = (TemporalEncoder, SoftPromptLearner, DescriptivePrompts, LearnedPrototypes, SlerpWeight)

# Keep: no `auto_docstring`. It takes whatever lies two folders below one named "models", as the code of a checkpoint
# of that name does, for a model of transformers, and prints errors about it.
INPUTS_DOCSTRING = r"""
    Args:
        pixel_values (`torch.FloatTensor` of shape `(batch_size, num_frames, num_channels, height, width)`):
            Frames of the context stream.
        face_pixel_values (`torch.FloatTensor` of the same shape):
            Frames of the face stream.
        context_embeds (`torch.FloatTensor` of shape `(batch_size, num_frames, projection_dim)`, *optional*):
            Output of [`~ClipCaerModel.get_frame_embeds`] in place of `pixel_values`.
        face_embeds (`torch.FloatTensor` of shape `(batch_size, num_frames, projection_dim)`, *optional*):
            The same in place of `face_pixel_values`.
        face_present (`torch.BoolTensor` of shape `(batch_size,)`, *optional*):
            False where a clip shows no face, and the context stream is to decide alone.
        soft_prompt_embeds (`torch.FloatTensor` of shape `(num_labels, num_sentences, dim)`, *optional*):
            Output of [`~ClipCaerModel.encode_soft_prompts`] of the same weights, to encode the prompts once for
            many passes.
        use_soft_prompts (`bool`, *optional*, defaults to `True`):
            False leaves out the soft view and its pass through the text tower, which is the costliest part of a
            training step on frame embeddings, where it does not classify and no loss needs it."""


class ClipCaerPreTrainedModel(PreTrainedModel):
    """Initialisation and loading shared by the ClipCaer models."""

    config: ClipCaerConfig
    config_class = ClipCaerConfig
    base_model_prefix = "model"
    main_input_name = "pixel_values"
    input_modalities = ("video",)
    supports_gradient_checkpointing = True
    _no_split_modules = [  # noqa: RUF012 - the base class declares it so
        *("TemporalEncoder", "SoftPromptLearner", "GatedFusion", "CrossAttentionFusion"),
    ]
    # Keep: the prompt learner is called with a model, which accelerate would move whole to where the learner is.
    _skip_keys_device_placement = ["clip"]  # noqa: RUF012
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    # Keep: with `forward(**kwargs)` the Trainer would otherwise take our loss for one already divided by the number of
    # items in all accumulated batches, and multiply it by the accumulation steps.
    accepts_loss_kwargs = False

    def __init__(self, config: ClipCaerConfig, *args, **kwargs):
        super().__init__(config, *args, **kwargs)
        self.name_or_path = public_name(config.name_or_path)  # PEFT and model cards copy it into what they save

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, **kwargs):
        """Load as every model of transformers does, whole and finite or not at all; see [`load_strictly`]."""
        return load_strictly(super().from_pretrained, pretrained_model_name_or_path, "ClipCaer model", *args, **kwargs)

    def save_pretrained(self, save_directory, **kwargs):
        """Save as every model of transformers does."""
        # Keep: transformers names the class alone that is saved, and `AutoModel` would find none in the folder.
        self.config.auto_map = {
            "AutoConfig": "configuration_clipcaer.ClipCaerConfig",
            "AutoModel": "modeling_clipcaer.ClipCaerModel",
            "AutoModelForVideoClassification": "modeling_clipcaer.ClipCaerForVideoClassification",
        }
        self.config.custom_pipelines = name_pipelines()
        super().save_pretrained(save_directory, **kwargs)
        # Keep: safetensors writes by way of a temporary file, which is its owner's alone whatever the umask.
        config = Path(save_directory, "config.json")
        for weights in Path(save_directory).glob("*.safetensors") if config.is_file() else ():
            weights.chmod(config.stat().st_mode & 0o666)

    @torch.no_grad()
    def _init_weights(self, module):
        """Initialise what CLIP does not. A container without tensors of its own is never visited."""
        if isinstance(module, nn.Linear):
            # Scaled to the width, so that a tiny tower's heads start as lively as a large one's.
            init.kaiming_uniform_(module.weight, a=5**0.5)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, _DRAWN_BY_THEMSELVES):
            module.reset_parameters()
        else:
            super()._init_weights(module)


class ClipCaerModel(ClipCaerPreTrainedModel):
    r"""
    Two streams of frames to one video embedding, and two views of the labels to text embeddings, without a classifier.

    Args:
        config: the configuration.
        clip_model: a loaded CLIP model to build on; otherwise one is built from `config.clip_config`.
    """

    def __init__(self, config: ClipCaerConfig, clip_model: CLIPModel | None = None):
        super().__init__(config)
        dim = config.projection_dim
        self.clip = clip_model if clip_model is not None else CLIPModel._from_config(config.clip_config)
        if config.face_stream:
            ratio = config.adapter_residual_ratio
            self.face_adapter = FaceAdapter(dim, config.adapter_reduction, ratio) if config.use_face_adapter else None
            self.face_temporal_encoder = TemporalEncoder(config)
        if config.context_stream:
            self.context_temporal_encoder = TemporalEncoder(config)
        self.fusion = build_fusion(config)
        self.prompt_learner = SoftPromptLearner(config)
        self.descriptive_prompts = DescriptivePrompts(config)
        self.learned_prototypes = LearnedPrototypes(config) if config.prototype_source == "classifier" else None
        self.slerp_weight = SlerpWeight(config)
        self.post_init()

    @property
    def descriptive_text_embeds(self) -> torch.Tensor:
        """(num_labels, projection_dim) unit embeddings of the descriptive view."""
        return self.descriptive_prompts()

    def get_input_embeddings(self) -> nn.Module:
        """The vision tower's patch embedding."""
        return self.clip.vision_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module):
        """Replace the vision tower's patch embedding."""
        self.clip.vision_model.set_input_embeddings(value)

    def get_frame_embeds(self, pixel_values: torch.Tensor, **kwargs: Unpack[TransformersKwargs]) -> torch.Tensor:
        """Embed frames with the vision tower.

        Args:
            pixel_values: (batch_size, num_frames, num_channels, height, width).

        Returns:
            (batch_size, num_frames, projection_dim): the tower's projected output, not normalised.
        """
        output = self.clip.get_image_features(pixel_values.flatten(0, 1), return_dict=True, **kwargs)
        return output.pooler_output.unflatten(0, pixel_values.shape[:2])

    def _embed_frames(self, streams: dict[str, tuple], **kwargs):
        """Frame embeddings of each stream that is built, and the tower's output, empty where there are no pixels."""
        streams = {name: given for name, given in streams.items() if self.config.streams in (name, "both")}
        check_streams(streams, self.config.projection_dim)
        frame_embeds = {name: embeds for name, (_, embeds) in streams.items()}
        to_encode = {name: pixels for name, (pixels, _) in streams.items() if pixels is not None}
        if not to_encode:
            return frame_embeds, BaseModelOutputWithPooling()
        images = torch.stack(list(to_encode.values()), dim=1)  # (batch_size, num_streams, num_frames, ...)
        output = self.clip.get_image_features(images.flatten(0, 2), return_dict=True, **kwargs)
        encoded = output.pooler_output.unflatten(0, images.shape[:3]).unbind(dim=1)
        return frame_embeds | dict(zip(to_encode, encoded, strict=True)), output

    def encode_soft_prompts(self) -> torch.Tensor:
        """Unit embeddings (num_labels, num_sentences, projection_dim) of the soft prompts, by the text tower."""
        embeds = F.normalize(self.prompt_learner(clip=self.clip), dim=-1)
        return embeds.unflatten(0, (self.config.num_labels, -1))

    def encode_descriptive_prompts(self, token_ids: list[list[list[int]]]):
        """Encode sentences (label, sentence, token; begin and end included) once and keep them with the weights. A
        classifier that is to be learned begins as they are."""
        self.descriptive_prompts.encode(self.clip, token_ids)
        if self.learned_prototypes is not None:
            self.learned_prototypes.begin_as(self.descriptive_text_embeds)

    @can_return_tuple
    @add_start_docstrings(INPUTS_DOCSTRING)
    def forward(
        self,
        pixel_values: torch.FloatTensor | None = None,
        face_pixel_values: torch.FloatTensor | None = None,
        context_embeds: torch.FloatTensor | None = None,
        face_embeds: torch.FloatTensor | None = None,
        face_present: torch.BoolTensor | None = None,
        soft_prompt_embeds: torch.Tensor | None = None,
        use_soft_prompts: bool = True,
        **kwargs: Unpack[TransformersKwargs],
    ) -> ClipCaerOutput:
        states = {
            flag: kwargs.setdefault(flag, getattr(self.config, flag))
            for flag in ("output_hidden_states", "output_attentions")
        }
        streams = {"context": (pixel_values, context_embeds), "face": (face_pixel_values, face_embeds)}
        frame_embeds, tower = self._embed_frames(streams, **kwargs)  # (batch_size, num_frames, projection_dim) each
        face = context = BaseModelOutputWithPooling()
        if self.config.face_stream:
            face_embeds = frame_embeds["face"]
            if self.face_adapter is not None:
                face_embeds = self.face_adapter(face_embeds)
            face = self.face_temporal_encoder(face_embeds, **states)
            if face_present is not None:
                face.pooler_output = face.pooler_output * face_present[:, None]
        if self.config.context_stream:
            context = self.context_temporal_encoder(frame_embeds["context"], **states)
        parts = [stream.pooler_output for stream in (face, context) if stream.pooler_output is not None]
        video_embeds = F.normalize(self.fusion(torch.cat(parts, dim=-1)), dim=-1)  # (batch_size, projection_dim)
        if soft_prompt_embeds is None and use_soft_prompts:
            soft_prompt_embeds = self.encode_soft_prompts()  # (num_labels, num_sentences, projection_dim)
        return ClipCaerOutput(
            video_embeds=video_embeds,
            face_video_embeds=face.pooler_output,
            context_video_embeds=context.pooler_output,
            soft_text_embeds=None if soft_prompt_embeds is None else soft_prompt_embeds.mean(dim=1),
            descriptive_text_embeds=self.descriptive_text_embeds,
            soft_prompt_embeds=soft_prompt_embeds,
            hidden_states=tower.hidden_states,
            face_temporal_hidden_states=face.hidden_states,
            context_temporal_hidden_states=context.hidden_states,
            attentions=tower.attentions,
            face_temporal_attentions=face.attentions,
            context_temporal_attentions=context.attentions,
        )


class ClipCaerForVideoClassification(ClipCaerPreTrainedModel):
    r"""
    ClipCaer with its classifier: label prototypes from the prompts, moved towards each video by slerp.

    Args:
        config: the configuration.
        clip_model: a loaded CLIP model to build on; otherwise one is built from `config.clip_config`.

    Example:

    ```python
    >>> import torch
    >>> from modeling_clipcaer import ClipCaerForVideoClassification

    >>> model = ClipCaerForVideoClassification.from_pretrained(checkpoint)  # doctest: +SKIP
    >>> frames = torch.rand(1, 16, 3, 224, 224)
    >>> model(pixel_values=frames, face_pixel_values=frames).logits.shape  # doctest: +SKIP
    torch.Size([1, 5])

    ```
    """

    def __init__(self, config: ClipCaerConfig, clip_model: CLIPModel | None = None):
        super().__init__(config)
        self.model = ClipCaerModel(config, clip_model)
        self.post_init()

    @classmethod
    def from_clip_pretrained(cls, clip_id_or_path: str, **config_fields) -> "ClipCaerForVideoClassification":
        r"""
        Start a model from a CLIP checkpoint, in fp32; adapter, temporal encoders, fusion and context tokens are new.

        Args:
            clip_id_or_path: any CLIP checkpoint of the Hub or on disk, with its tokenizer.
            config_fields: fields of [`ClipCaerConfig`]. `label_prompts` defaults to RAER's for RAER's labels and to
                the labels' names otherwise; `descriptive_prompts` to RAER's, or to `label_prompts`.

        Raises:
            InputError: there is no CLIP checkpoint of that name, or weights are missing from it.
        """
        clip, tokenizer = load_clip_model(clip_id_or_path)
        # Keep: a new configuration sets the attention of those inside it, which would fall back to eager.
        attention = clip.config._attn_implementation
        fields = {"clip_config": clip.config, "attn_implementation": attention, **config_fields}
        labels = tuple(ClipCaerConfig(**{**fields, "class_specific_context": True}).id2label.values())
        default_prompts = RAER_LABEL_PROMPTS if labels == RAER_LABELS else labels
        label_prompts = fields.get("label_prompts") or list(default_prompts)
        default_sentences = RAER_DESCRIPTIVE_PROMPTS if labels == RAER_LABELS else label_prompts
        sentences = [as_list(entry) for entry in fields.get("descriptive_prompts") or default_sentences]
        fields |= {"label_prompts": label_prompts, "descriptive_prompts": sentences}
        for name, ids in (("label_prompts", "label_token_ids"), ("descriptive_prompts", "descriptive_token_ids")):
            fields[ids] = tokenize(tokenizer, clip.config.text_config, name, map(as_list, fields[name]), labels)
        model = cls(ClipCaerConfig(**fields), clip_model=clip)
        model.model.encode_descriptive_prompts(fields["descriptive_token_ids"])
        return model

    @can_return_tuple
    @add_start_docstrings(INPUTS_DOCSTRING)
    def forward(
        self,
        pixel_values: torch.FloatTensor | None = None,
        face_pixel_values: torch.FloatTensor | None = None,
        labels: torch.LongTensor | None = None,
        context_embeds: torch.FloatTensor | None = None,
        face_embeds: torch.FloatTensor | None = None,
        face_present: torch.BoolTensor | None = None,
        soft_prompt_embeds: torch.Tensor | None = None,
        use_soft_prompts: bool = True,
        **kwargs: Unpack[TransformersKwargs],
    ) -> ClipCaerOutput:
        r"""
        labels (`torch.LongTensor` of shape `(batch_size,)`, *optional*):
            Label of each clip, 0-based; gives the loss.
        """
        outputs = self.model(
            pixel_values=pixel_values,
            face_pixel_values=face_pixel_values,
            context_embeds=context_embeds,
            face_embeds=face_embeds,
            face_present=face_present,
            soft_prompt_embeds=soft_prompt_embeds,
            use_soft_prompts=use_soft_prompts,
            **kwargs | {"return_dict": True},
        )
        outputs.logits = self.classify(outputs.video_embeds, self.select_prototypes(outputs))
        if labels is not None:
            outputs.loss = F.cross_entropy(outputs.logits, labels)
        return outputs

    def classify(self, video_embeds: torch.Tensor, prototypes: torch.Tensor) -> torch.Tensor:
        """Logits (batch_size, num_labels) of unit embeddings (batch_size, projection_dim) against the prototypes."""
        weight, config = self.model.slerp_weight(), self.config
        return instance_logits(video_embeds, prototypes, weight, config.temperature, config.slerp_target)

    def select_prototypes(self, outputs: ClipCaerOutput) -> torch.Tensor:
        """What classifies: (num_labels, num_sentences, projection_dim) unit embeddings."""
        soft, descriptive = outputs.get("soft_prompt_embeds"), outputs["descriptive_text_embeds"][:, None]
        source = self.config.resolved_prototype_source
        if self.model.learned_prototypes is not None:
            return self.model.learned_prototypes()[:, None]
        if source == "descriptive":
            return descriptive
        if soft is None:
            raise ValueError(f"`use_soft_prompts` is False, but the view that classifies is {source}")
        return soft if source == "soft" else F.normalize(soft + descriptive, dim=-1)


__all__ = ["ClipCaerForVideoClassification", "ClipCaerModel", "ClipCaerOutput", "ClipCaerPreTrainedModel"]
