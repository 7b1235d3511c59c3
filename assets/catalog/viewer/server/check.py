"""Looks at every example in every plane, and at where its marks are: the image's test."""
import io
import os
import tempfile

import numpy
import viewer
import volumes
from PIL import Image

library = volumes.Library("/data")
pages = viewer.app(library).test_client()
items = pages.get("/api/items").json["items"]
assert [i["kind"] for i in items] == ["NIfTI", "NIfTI", "FITS", "FITS", "DICOM"], items
for item in items:
    about = pages.get("/api/volume", query_string={"item": item["id"]}).json
    assert about["header"] and about["low"] <= about["start"] < about["end"] <= about["high"], about
    for plane in about["planes"]:
        for index in (0, plane["count"] // 2, plane["count"] + 5):
            answer = pages.get("/api/slice.png", query_string={"item": item["id"], "axis": plane["axis"], "index": index, "low": about["start"], "high": about["end"]})
            assert Image.open(io.BytesIO(answer.data)).size == (plane["columns"], plane["rows"])
    answer = pages.get("/api/value", query_string={"item": item["id"], "x": 3, "y": 4, "z": 0})
    assert answer.status_code == 200 and answer.json["value"]

# The ear is at the person's right, however a file is stored, and in the lower half.
for item in (items[1], items[4]):
    data = library.volume(item["id"]).data[..., 0]
    x, y, z = numpy.argwhere(data > 1).mean(axis=0) / data.shape
    ear = data[int(.87 * data.shape[0]):int(.89 * data.shape[0]) + 1, int(.45 * data.shape[1]):int(.5 * data.shape[1]), int(.42 * data.shape[2]):int(.48 * data.shape[2])]
    other = data[::-1][int(.87 * data.shape[0]):int(.89 * data.shape[0]) + 1, int(.45 * data.shape[1]):int(.5 * data.shape[1]), int(.42 * data.shape[2]):int(.48 * data.shape[2])]
    assert ear.mean() > other.mean() + 300, (item, ear.mean(), other.mean())
    assert any("Invented" in v or "NIfTI" in k or "descrip" in k for k, v in library.volume(item["id"]).header)
assert "RA 13 29 5" in library.volume(items[2]["id"]).place(299, 239, 0)

# Damaged files and paths that lead out of the folder.
with tempfile.TemporaryDirectory() as top:
    for name, content in {"a.nii": b"nothing", "b.nii.gz": b"\x1f\x8b", "c.fits": b"SIMPLE  =", "d.dcm": b"\0" * 128 + b"DICM" + b"\1" * 50, "e.txt": b"x", "<b>.nii": b""}.items():
        with open(os.path.join(top, name), "wb") as f:
            f.write(content)
    os.symlink("/etc/passwd", os.path.join(top, "out.nii"))
    pages = viewer.app(volumes.Library(top)).test_client()
    found = [i["id"] for i in pages.get("/api/items").json["items"]]
    assert set(found) == {"a.nii", "b.nii.gz", "c.fits|0", "<b>.nii"}, found
    for name in [*found, "out.nii", "../etc/passwd", "/etc/passwd", "none", ""]:
        answer = pages.get("/api/volume", query_string={"item": name})
        assert answer.status_code == 400 and answer.json["error"], (name, answer.text)
print(len(items), "images")
