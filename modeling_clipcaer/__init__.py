"""ClipCaer: context-aware academic emotion recognition with CLIP.

Importing the package registers its classes with the Auto classes of transformers. The training side is imported when
first used, so that inference does not wait for it.
"""

from transformers import AutoConfig, AutoModel, AutoModelForVideoClassification

from .configuration_clipcaer import ClipCaerConfig
from .modeling_clipcaer import ClipCaerForVideoClassification, ClipCaerModel


AutoConfig.register("clipcaer", ClipCaerConfig, exist_ok=True)
AutoModel.register(ClipCaerConfig, ClipCaerModel, exist_ok=True)
AutoModelForVideoClassification.register(ClipCaerConfig, ClipCaerForVideoClassification, exist_ok=True)
