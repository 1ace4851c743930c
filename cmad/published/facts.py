"""The published facts: links, files, checksums, counts, widths and label balance.

Where a number is not from the publisher but from memory, or computed, its source says so. The files
themselves were not inspected when these were written down.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Layout = Literal["mag", "mult", "mmsa", "hkt", "cherma"]

_MAG = "https://drive.google.com/uc?id="
_MULT_LINK = ("MulT's Archive.zip", "https://www.dropbox.com/sh/hyzpgx1hp9nj37s")
_MMSA_LINK = (
    "MMSA's Google Drive (Processed)",
    "https://drive.google.com/drive/folders/1A2S4pqCHryGmiqnNSPLv7rEg63WvjCSk",
)


@dataclass(frozen=True)
class Published:
    """One file, or one folder, that a data set is published as.

    Attributes:
        name: where it goes in the data set's raw folder; "" for that folder itself.
        layout: of the reader.
        link: what it is called there, and the address.
        counts: samples of train, dev and test; None where they are not known one by one.
        total: samples of all splits.
        counts_from: who says so.
        widths: by modality; language only where it comes as features.
        sha256: as its publisher states it; None where nothing is published.
        parts: what a folder holds.
        preset: whether the preset of the data set's name reads it.
    """

    name: str
    layout: Layout
    link: tuple[str, str]
    widths: Mapping[str, int]
    total: int
    counts_from: str
    counts: tuple[int, int, int] | None = None
    sha256: str | None = None
    parts: tuple[str, ...] = ()
    preset: bool = False


@dataclass(frozen=True)
class DataSet:
    """A data set of the paper, or its smaller sister.

    Attributes:
        title: its own name.
        files: all forms that can be read.
        task: of its labels.
        names: of classes or labels.
        ones: samples of test by label, where known ("positive" for the sign of a score other than 0).
        ones_from: who says so.
        note: what else to know before getting it.
    """

    title: str
    task: Literal["regression", "classes", "binary"]
    files: tuple[Published, ...]
    names: tuple[str, ...] = ()
    ones: Mapping[str, int] = field(default_factory=dict)
    ones_from: str = ""
    note: str = ""


_WIDE = {"audio": 74, "vision": 35}

DATASETS: Mapping[str, DataSet] = {
    "mosei": DataSet(
        title="CMU-MOSEI",
        task="regression",
        files=(
            Published(
                name="mosei.pkl",
                layout="mag",
                link=("MAG's Google Drive", f"{_MAG}1VJhSc2TGrPU8zJSVTYwn5kfuG47VaNQ3"),
                widths=_WIDE,
                counts=(16265, 1869, 4643),
                total=22777,
                counts_from="progress bars in the notebooks of MAG and MIB; supplement of GLoMo",
                preset=True,
            ),
            Published(
                name="mosei_senti_data.pkl",
                layout="mult",
                link=_MULT_LINK,
                widths={"language": 300, **_WIDE},
                total=22856,
                counts=(16326, 1871, 4659),
                counts_from="recalled: the same split as MMSA's",
            ),
            Published(
                name="mosei_senti_data_noalign.pkl",
                layout="mult",
                link=_MULT_LINK,
                widths={"language": 300, **_WIDE},
                total=22856,
                counts=(16326, 1871, 4659),
                counts_from="recalled: the same split as MMSA's",
            ),
            Published(
                name="aligned_50.pkl",
                layout="mmsa",
                link=_MMSA_LINK,
                widths={"language": 768, **_WIDE},
                total=22856,
                counts=(16326, 1871, 4659),
                counts_from="MMSA's configuration for train, other users of the file for dev and test",
                sha256="45eccfb748a87c80ecab9bfac29582e7b1466bf6605ff29d3b338a75120bf791",
            ),
            Published(
                name="unaligned_50.pkl",
                layout="mmsa",
                link=_MMSA_LINK,
                widths={"language": 768, **_WIDE},
                total=22856,
                counts=(16326, 1871, 4659),
                counts_from="MMSA's configuration for train, other users of the file for dev and test",
                sha256="ad8b23d50557045e7d47959ce6c5b955d8d983f2979c7d9b7b9226f6dd6fec1f",
            ),
        ),
        note="The same mosei.pkl: https://www.dropbox.com/s/995dvj3506gvk5a/mosei.pkl",
    ),
    "mosi": DataSet(
        title="CMU-MOSI",
        task="regression",
        files=(
            Published(
                name="mosi.pkl",
                layout="mag",
                link=("MAG's Google Drive", f"{_MAG}12HbavGOtoVCqicvSYWl3zImli5Jz0Nou"),
                widths={"audio": 74, "vision": 47},
                counts=(1284, 229, 686),
                total=2199,
                counts_from="the usual split of MOSI",
            ),
            Published(
                name="aligned_50.pkl",
                layout="mmsa",
                link=_MMSA_LINK,
                widths={"language": 768, "audio": 5, "vision": 20},
                counts=(1284, 229, 686),
                total=2199,
                counts_from="the usual split of MOSI",
                sha256="d3994fd25681f9c7ad6e9c6596a6fe9b4beb85ff7d478ba978b124139002e5f9",
            ),
            Published(
                name="unaligned_50.pkl",
                layout="mmsa",
                link=_MMSA_LINK,
                widths={"language": 768, "audio": 5, "vision": 20},
                counts=(1284, 229, 686),
                total=2199,
                counts_from="the usual split of MOSI",
                sha256="78e0f8b5ef8ff71558e7307848fc1fa929ecb078203f565ab22b9daab2e02524",
            ),
        ),
        note="Not one of the paper's five; write its preset after that of mosei.",
    ),
    "iemocap": DataSet(
        title="IEMOCAP",
        task="binary",
        names=("Neutral", "Happy", "Sad", "Angry"),
        files=(
            Published(
                name="iemocap_data.pkl",
                layout="mult",
                link=_MULT_LINK,
                widths={"language": 300, **_WIDE},
                counts=(2717, 798, 938),
                total=4453,
                counts_from="recalled; the sum agrees with other papers",
                preset=True,
            ),
            Published(
                name="iemocap_data_noalign.pkl",
                layout="mult",
                link=_MULT_LINK,
                widths={"language": 300, **_WIDE},
                counts=(2717, 798, 938),
                total=4453,
                counts_from="recalled; the sum agrees with other papers",
            ),
        ),
        ones={"Neutral": 383, "Happy": 135, "Sad": 193, "Angry": 227},
        ones_from="recalled; they add up to the 938 samples of test",
    ),
    "cherma": DataSet(
        title="CHERMA",
        task="classes",
        names=("anger", "disgust", "fear", "happy", "neutral", "sad", "surprise"),
        files=(
            Published(
                name="",
                layout="cherma",
                link=("LFMIM's Baidu disk, code CHER", "https://pan.baidu.com/s/10PoJcXMDhRg4fzsq96A7rQ"),
                widths={"language": 1024, "audio": 1024, "vision": 2048},
                total=28717,
                counts_from="supplement of GLoMo; its splits are 6:2:2, their exact sizes are not published",
                parts=("train.json", "dev.json", "test.json", "text", "audio", "visual"),
                preset=True,
            ),
        ),
        note="Put what is inside the folder CHERMA0723 there.",
    ),
    "mustard": DataSet(
        title="MUStARD",
        task="classes",
        names=("0", "1"),
        files=(
            Published(
                name="mustard.pkl",
                layout="hkt",
                link=("HKT's Dropbox", "https://www.dropbox.com/s/w566pkeo63odcj5/mustard.pkl"),
                widths={"audio": 60, "vision": 36},
                counts=(539, 68, 68),
                total=675,
                counts_from="supplement of GLoMo",
                preset=True,
            ),
        ),
        ones={"0": 34, "1": 34},
        ones_from="inferred from the published scores",
        note="In test one sample is 1.5 percent points.",
    ),
    "ur_funny": DataSet(
        title="UR-FUNNY v2",
        task="classes",
        names=("0", "1"),
        files=(
            Published(
                name="ur_funny.pkl",
                layout="hkt",
                link=("HKT's Dropbox", "https://www.dropbox.com/s/5y8q52vj3jklwmm/ur_funny.pkl"),
                widths={"audio": 60, "vision": 36},
                counts=(7614, 980, 994),
                total=9588,
                counts_from="supplement of GLoMo",
                preset=True,
            ),
        ),
    ),
}


def of_preset(name: str, layout: str, file: str | None) -> tuple[DataSet, Published] | None:
    """What is published of a preset's data set in its ``format`` and ``file``, if anything is."""
    dataset = DATASETS.get(name)
    for form in dataset.files if dataset else ():
        if dataset and form.layout == layout and form.name == (file or ""):
            return dataset, form
    return None
