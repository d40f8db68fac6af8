"""The README's code runs as it stands there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

import blursynth as bs

README = (Path(__file__).resolve().parents[1] / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def test_blocks_in_order(tmp_path: Path) -> None:
    """Python, shell and TOML blocks as one script, in a folder with a photograph and a folder of photographs."""
    for path in ("sharp.png", "photos/astronaut.png", "photos/chelsea.png"):
        name = "chelsea" if "chelsea" in path else "astronaut"
        bs.write_picture(tmp_path / path, getattr(skimage.data, name)().transpose(2, 0, 1) / 255)
    millimetres = np.full(skimage.data.astronaut().shape[:2], 2500, np.uint16)
    cv2.imwrite(str(tmp_path / "depth.png"), millimetres)
    script = ["import subprocess, sys", "from pathlib import Path"]
    for language, text in BLOCKS:
        if language == "python":
            script.append(text)
        elif language == "toml":
            script.append(f"Path('mine.toml').write_text({text!r})\nbs.load_recipe('mine.toml')")
        elif language == "sh":
            commands = [shlex.split(line, comments=True) for line in text.splitlines()]
            script += [
                f"subprocess.run([sys.executable, '-m', 'blursynth', *{words[1:]!r}], check=True)"
                for words in commands
                if words[:1] == ["blursynth"]
            ]
    (tmp_path / "readme.py").write_text("\n".join(script))
    done = subprocess.run([sys.executable, "readme.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [language for language, _ in BLOCKS].count("python") == 7
    assert (tmp_path / "blurred.png").exists()


def test_make_targets_exist() -> None:
    makefile = (Path(__file__).resolve().parents[1] / "Makefile").read_text("utf-8")
    for target in re.findall(r"`?make (\w+)`?", README):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)]+)\)", README))
def test_links_lead_somewhere(link: str) -> None:
    if not link.startswith("http"):
        assert (Path(__file__).resolve().parents[1] / link).exists(), link
