"""Draws the student: body, head, face, arms."""

import numpy as np

from modeling_clipcaer.synthetic.canvas import Canvas, oval, shade
from modeling_clipcaer.synthetic.world import Moment, Person, Setting


HEAD = (160, 70)
HEAD_SIZE = (17.5, 22)


def place_head(setting: Setting, moment: Moment) -> tuple[np.ndarray, float]:
    """Centre of the head and its tilt in degrees."""
    slouch = moment.slouch
    head = np.array(HEAD) + moment.sway + (setting.side * 9 * slouch, 17 * slouch)
    tilt = moment.tilt + setting.side * 6 * slouch
    return (np.add(head, (setting.side * 5, 6)), tilt + setting.side * 10) if moment.prop else (head, tilt)


def draw_body(canvas: Canvas, person: Person, head: np.ndarray, moment: Moment) -> None:
    """Draw shoulders and trunk."""
    shirt = person.shirt
    sink = 9 * moment.slouch
    x = 160 + (head[0] - 160) * 0.4
    canvas.limb([np.add(head, (0, 14)), (x, 104 + sink)], shade(person.skin, 0.84), 13)
    wide = 36 + 4 * moment.slouch
    torso = np.concatenate([oval((x, 124 + sink), (wide, 27), 180, 360), [(x + wide, 180), (x - wide, 180)]])
    canvas.polygon(torso, shirt)
    canvas.polygon([(x - 7, 97 + sink), (x + 7, 97 + sink), (x, 108 + sink)], shade(person.skin, 0.84))


def draw_head(canvas: Canvas, person: Person, moment: Moment, head: np.ndarray, tilt: float) -> None:
    """Draw the head, its hair and its features."""
    width, height = HEAD_SIZE[0] * person.head_width, HEAD_SIZE[1] * person.head_height
    angle = np.radians(tilt)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])

    def at(points) -> np.ndarray:
        """Points relative to the head's centre, turned with the head."""
        return np.atleast_2d(points) @ turn + head

    hair, skin = person.hair, person.skin
    if person.hair_style in (1, 3):
        wide = width * 1.17
        long = np.concatenate([oval((0, 0), (wide, height * 1.1), 180, 360), [(wide, 26), (-wide, 26)]])
        canvas.polygon(at(long), hair)
        canvas.limb([np.add(head, (0, 10)), np.add(head, (0, 26))], shade(skin, 0.84), 12)
    canvas.polygon(at(oval((0, -4), (width * 1.08, height * 1.02))), hair)
    for side in (-1, 1):
        canvas.polygon(at(oval((side * width * 0.98, 1), (3, 5))), shade(skin, 0.88))
    canvas.polygon(at(oval((0, 1), (width, height))), skin)
    fringe = (-0.42, -0.55, -0.3, -0.5)[person.hair_style] * height
    lock = (0.0, 5.0, 0.0, -6.0)[person.hair_style]
    cap = np.concatenate([oval((0, 0), (width * 1.03, height * 1.06), 195, 345), [(lock, fringe)]])
    canvas.polygon(at(cap), hair)
    x, y = moment.gaze
    draw_features(canvas, person, moment, lambda points: at(np.add(points, (x * 1.8, y * 2.0))))


def draw_features(canvas: Canvas, person: Person, moment: Moment, at) -> None:
    """Draw eyes, brows and mouth."""
    skin = person.skin
    gap = 7.6 * person.eye_gap
    for side in (-1, 1):
        draw_eye(canvas, person, moment, side * gap, at)
        inner, outer = side * (gap - 4.2), side * (gap + 4.6)
        drop = 3.0 * moment.frown
        brow = [
            (inner - side * 1.2 * moment.frown, -8.2 + drop),
            (side * gap, -9.2),
            (outer, -7.6 - 0.8 * moment.frown),
        ]
        canvas.line(at(brow), shade(person.hair, 0.8), 1.7)
        if moment.frown > 0.3:
            canvas.line(at([(side * 1.5, -8.5), (side * 1.2, -4.5)]), shade(skin, 1 - 0.45 * moment.frown), 0.9)
        if person.glasses:
            canvas.line(at(oval((side * gap, -2), (5.9, 4.9))), (38, 38, 44), 0.9)
            canvas.line(at([(side * 2.0, -2.4), (0, -2.9)]), (38, 38, 44), 0.9)
    canvas.line(at([(0.3, 0), (1.6, 5.2), (-1.4, 5.6)]), shade(skin, 0.76), 1.0)
    draw_mouth(canvas, person, moment, at)


def draw_eye(canvas: Canvas, person: Person, moment: Moment, x: float, at) -> None:
    """Draw one eye with its brow."""
    skin, (gaze_x, gaze_y) = person.skin, moment.gaze
    wide, high = 4.3, 2.9 * moment.openness
    canvas.mark("eyes", at(oval((x, -2), (wide, 2.9))))
    if moment.openness < 0.12:
        canvas.line(at(oval((x, -2.6), (wide, 1.6), 10, 170, 9)), shade(skin, 0.36), 1.3)
        return
    canvas.polygon(at(oval((x, -2), (wide, high))), (242, 242, 240))
    iris = np.array([x + gaze_x * 2.2, -2 + gaze_y * 1.2 * moment.openness])
    canvas.polygon(at(oval(iris, (1.9, min(1.9, high)))), (44, 30, 24))
    lid = -2 - high * (0.7 - 0.84 * max(gaze_y, 0))  # looking down lowers the lid
    cover = np.concatenate([oval((x, -2), (wide + 0.6, high + 0.6), 180, 360), [(x + wide, lid), (x - wide, lid)]])
    cover[:, 1] = np.minimum(cover[:, 1], lid)
    canvas.polygon(at(cover), shade(skin, 0.92))
    canvas.line(at([(x - wide, lid), (x + wide, lid)]), shade(skin, 0.36), 0.9)


def draw_mouth(canvas: Canvas, person: Person, moment: Moment, at) -> None:
    """Draw the mouth."""
    half = 6.0 + 1.9 * max(moment.smile, 0) - 1.5 * moment.gape
    if moment.gape > 0.15:
        lips = at(oval((0, 12.6), (half * 0.85, 0.8 + 5.6 * moment.gape)))
        canvas.mark("mouth", lips)
        canvas.polygon(lips, (74, 22, 26))
        canvas.line(lips, (141, 74, 70), 1.1)
        return
    across = np.linspace(-1, 1, 9)
    curve = 12 + moment.smile * (4.2 * (1 - across**2) - 2.2)
    red = shade((168, 84, 80), 0.45 + 0.5 * sum(person.skin) / 700)
    mouth = at(np.stack([across * half, curve], axis=1))
    canvas.mark("mouth", mouth)
    canvas.line(mouth, red, 1.9)
    if moment.smile > 0.5:
        for side in (-1, 1):
            canvas.line(at(oval((side * (half + 1.2), 10.4), (1.6, 2.4), 60, 300, 7)), shade(person.skin, 0.42), 0.6)


def draw_arms(canvas: Canvas, person: Person, setting: Setting, moment: Moment, head: np.ndarray) -> None:
    """Draw the arms and hands."""
    side = setting.side
    sleeve, skin = shade(person.shirt, 0.85), shade(person.skin, 0.95)
    shoulder = 116 + 9 * moment.slouch

    def draw_arm(which: int, elbow, hand) -> None:
        canvas.limb([(160 + which * 31, shoulder), elbow], sleeve, 12)
        canvas.limb([elbow, hand], sleeve, 10)
        canvas.polygon(oval(hand, (5.5, 5.5)), skin)

    rest = np.array((160 - side * 24, 152)) + np.multiply(moment.sway, 0.6)
    draw_arm(-side, (160 - side * 46, 146), rest)
    if moment.scratch:
        draw_arm(side, (160 + side * 54, head[1] + 24), np.add(head, (side * 18, -27)))
    elif moment.phone:
        hand = np.array((160 + side * 33, 128)) + moment.sway
        draw_arm(side, (160 + side * 47, 142), hand)
        draw_phone(canvas, setting, np.add(hand, (0, -8)))
    elif moment.prop:
        draw_arm(side, (160 + side * 38, 142), np.add(head, (side * 11, 23)))
    else:
        draw_arm(side, (160 + side * 46, 146), (160 + side * 22, 154) - np.multiply(moment.sway, 0.6))
        if setting.desk_object == "notebook":
            canvas.line([(160 + side * 20, 157), (160 + side * 27, 145)], setting.cover, 1.6)


def draw_phone(canvas: Canvas, setting: Setting, centre: np.ndarray) -> None:
    """Draw a phone in a hand."""
    frame = np.array([(-7, -12), (8, -10), (6, 12), (-9, 10)]) * (setting.side, 1)
    canvas.mark("phone", frame + centre)
    canvas.polygon(frame + centre, (24, 24, 28))
    canvas.polygon(frame * 0.8 + centre, setting.screen)
    canvas.polygon(frame * (0.8, 0.2) + centre, shade(setting.screen, 0.6))
