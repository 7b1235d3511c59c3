"""Reads NIfTI, DICOM and FITS into one form: an array [x, y, z, time] in which x goes to the right (of a person: to their
right), y forwards or up, z upwards, with the size of a voxel, what the header says, and where a voxel is in the world."""
import collections
import dataclasses
import os
import threading
import typing
import warnings

import numpy

NIFTI = (".nii", ".nii.gz", ".mgz", ".mgh", ".hdr")
FITS = (".fits", ".fit", ".fts", ".fits.gz", ".fit.gz", ".fits.fz")
MOST_FILES, MOST_ROWS, MOST_TEXT = 5000, 600, 400


class Wrong(Exception):
    """What somebody who looks at images has to know."""


@dataclasses.dataclass
class Volume:
    kind: str
    data: numpy.ndarray  # float32, four axes
    zooms: list  # millimetres, or 1
    header: list  # rows of name and value
    planes: list  # names of the planes across x, y and z that are worth seeing, as (name, axis)
    labels: dict  # what is to the left, right, top and bottom of a plane, by its axis
    window: typing.Optional[tuple] = None  # lowest and highest value to show, if the file says so
    place: typing.Callable = None  # (x, y, z) → where that is, in words
    note: str = ""


def inside(top, name):
    """The path of a file that is named by an address; what leads out of the folder is refused."""
    top = os.path.realpath(top)
    if "\0" in name or any(part.startswith(".") for part in name.split("/")):
        raise Wrong(f"There is no file {name!r}.")
    path = os.path.realpath(os.path.join(top, name))
    if os.path.commonpath([top, path]) != top or not os.path.exists(path):
        raise Wrong(f"There is no file {name!r}.")
    return path


class Library:
    """What a folder holds, and the volumes that were looked at last."""

    def __init__(self, top, most_megabytes=2000, keep=2):
        self.top, self.most, self.keep = top, most_megabytes << 20, keep
        self.lock, self.loaded, self.known = threading.Lock(), collections.OrderedDict(), {}

    def items(self):
        """Files and series that can be shown: {id, name, kind, detail}. A series is named after its folder and its number in it."""
        found, count = [], 0
        for folder, below, names in os.walk(self.top):
            below[:] = sorted(n for n in below if not n.startswith("."))
            series = {}
            for name in sorted(names):
                path = os.path.join(folder, name)
                relative = os.path.relpath(path, self.top)
                if name.startswith(".") or not os.path.isfile(path) or count >= MOST_FILES:
                    continue
                try:
                    inside(self.top, relative)
                except Wrong:
                    continue
                if name.lower().endswith(NIFTI):
                    found.append({"id": relative, "name": relative, "kind": "NIfTI"})
                elif name.lower().endswith(FITS):
                    found += self.fits_images(path, relative)
                elif (about := self.dicom(path)) is not None:
                    series.setdefault(about[0], (about[1], []))[1].append(relative)
                else:
                    continue
                count += 1
            for uid, (title, members) in series.items():
                where = os.path.dirname(members[0])
                name = members[0] if len(members) == 1 else f"{where + '/' if where else ''}{title or 'series'}"
                found.append({"id": f"{members[0]}|{uid}", "name": name, "kind": "DICOM", "detail": f"{len(members)} files" if len(members) > 1 else title})
        return found

    def remember(self, path, make):
        info = os.stat(path)
        key = (path, info.st_mtime_ns, info.st_size)
        if key not in self.known:
            self.known[key] = make()
        return self.known[key]

    def dicom(self, path):
        """Series and title of a DICOM file; None where it is none."""
        def read():
            import pydicom
            try:
                with open(path, "rb") as f:
                    if f.read(132)[128:] != b"DICM":
                        return None
                d = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID", "SeriesDescription", "Modality", "Rows"])
            except Exception:  # a damaged file may fail in any way; it is left out, and its name tells nothing
                return None
            if "Rows" not in d:
                return None
            return str(d.get("SeriesInstanceUID", path)), " ".join(str(d.get(n, "")) for n in ("Modality", "SeriesDescription")).strip()
        return self.remember(path, read)

    def fits_images(self, path, relative):
        """The images of a FITS file."""
        def read():
            from astropy.io import fits
            try:
                with warnings.catch_warnings(), fits.open(path) as f:
                    warnings.simplefilter("ignore")
                    return [(i, h.name, h.shape) for i, h in enumerate(f) if h.is_image and len(h.shape) >= 2]
            except Exception:
                return [(0, "", ())]  # shown, so that somebody who opens it is told why it cannot be
        return [{"id": f"{relative}|{i}", "name": relative, "kind": "FITS", "detail": " × ".join(str(n) for n in reversed(shape)) + (f" {name}" if name and name != "PRIMARY" else "")}
                for i, name, shape in self.remember(path, read)]

    def volume(self, item):
        """A volume by the id of its item."""
        name, _, part = item.partition("|")
        path = inside(self.top, name)
        info = os.stat(path)
        key = (item, info.st_mtime_ns, info.st_size)
        with self.lock:
            if key in self.loaded:
                self.loaded.move_to_end(key)
                return self.loaded[key]
            while len(self.loaded) >= self.keep:
                self.loaded.popitem(last=False)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    if path.lower().endswith(NIFTI):
                        volume = self.nifti(path)
                    elif path.lower().endswith(FITS):
                        volume = self.fits(path, int(part or 0))
                    else:
                        volume = self.series(path, part)
            except (Wrong, MemoryError):
                raise
            except Exception as error:  # what the libraries raise for damaged files is not told
                raise Wrong(f"{name} cannot be read: {error or type(error).__name__}") from error
            self.loaded[key] = volume
            return volume

    def check(self, shape):
        if len(shape) > 4 and any(n != 1 for n in shape[4:]):
            raise Wrong(f"Images of {len(shape)} dimensions cannot be shown: {' × '.join(map(str, shape))}.")
        if (need := 4 * int(numpy.prod([int(n) for n in shape]))) > self.most:
            raise Wrong(f"This image needs {need >> 20} MB of memory; at most {self.most >> 20} MB are used (MOST_MB).")
        if not need:
            raise Wrong("There are no voxels in it.")

    def nifti(self, path, image=None):
        import nibabel
        image = image or nibabel.load(path)
        self.check(image.shape)
        header = [(k, image.header[k].tolist()) for k in image.header.keys()]
        header = [(k, v.decode("utf-8", "replace").rstrip("\0") if isinstance(v, bytes) else v) for k, v in header]
        header.insert(0, ("orientation", "".join(nibabel.aff2axcodes(image.affine))))
        return self.oriented(image, "NIfTI", header)

    def oriented(self, image, kind, header, window=None):
        """A volume out of an image of nibabel, turned so that the axes go right, forwards, upwards."""
        import nibabel
        data = numpy.asanyarray(image.dataobj)
        if data.dtype.names:  # colours
            data = sum(data[n].astype("float32") * w for n, w in zip(data.dtype.names, (0.299, 0.587, 0.114)))
        data = data.astype("float32").reshape((*data.shape, 1, 1, 1, 1)[:4])
        turned = nibabel.as_closest_canonical(nibabel.Nifti1Image(data, image.affine))
        affine = turned.affine
        names = [("axial", 2), ("coronal", 1), ("sagittal", 0)]
        shape = turned.shape
        planes = [(n, a) for n, a in names if min(s for i, s in enumerate(shape[:3]) if i != a) > 1] or names[:1]

        def place(x, y, z):
            right, front, up = affine[:3, :3] @ [x, y, z] + affine[:3, 3]
            return f"{abs(right):.1f} mm {'right' if right >= 0 else 'left'}, {abs(front):.1f} {'front' if front >= 0 else 'back'}, {abs(up):.1f} {'up' if up >= 0 else 'down'}"

        return Volume(kind, numpy.asarray(turned.dataobj, dtype="float32"), [float(z) or 1.0 for z in nibabel.affines.voxel_sizes(affine)], rows(header), planes,
                      {2: "LRAP", 1: "LRSI", 0: "PASI"}, window, place, "L, R: the person's left and right")

    def series(self, path, uid):
        """A DICOM series: the file and those beside it that belong to it."""
        import nibabel
        import pydicom
        folder = os.path.dirname(path)
        members = [os.path.join(folder, n) for n in sorted(os.listdir(folder)) if os.path.isfile(os.path.join(folder, n)) and not n.startswith(".")]
        slices = [pydicom.dcmread(p) for p in members if (about := self.dicom(p)) is not None and about[0] == uid][:MOST_FILES]
        if not slices:
            raise Wrong("This is no image in DICOM.")
        first = slices[0]
        frames = int(first.get("NumberOfFrames", 1))
        self.check((int(first.Columns), int(first.Rows), max(len(slices), frames)))
        header = dicom_rows(first)
        window = None
        if "WindowCenter" in first and "WindowWidth" in first:
            centre, width = (float(v[0] if isinstance(v, pydicom.multival.MultiValue) else v) for v in (first.WindowCenter, first.WindowWidth))
            window = (centre - width / 2, centre + width / 2)
        placed = [s for s in slices if len(s.get("ImagePositionPatient", [])) == 3 and len(s.get("ImageOrientationPatient", [])) == 6]
        size = [float(v) for v in first.get("PixelSpacing", first.get("ImagerPixelSpacing", [1, 1]))]
        if len(placed) == len(slices) and frames == 1:
            # DICOM PS3.3, C.7.6.2.1.1: the first three cosines are those of a row, which follows the columns.
            row, column = numpy.array(first.ImageOrientationPatient[:3], float), numpy.array(first.ImageOrientationPatient[3:], float)
            normal = numpy.cross(row, column)
            slices.sort(key=lambda s: float(normal @ numpy.array(s.ImagePositionPatient, float)))
            at = [numpy.array(s.ImagePositionPatient, float) for s in slices]
            same = [s for s in slices if (s.Rows, s.Columns) == (first.Rows, first.Columns)]
            if len(same) < len(slices):
                raise Wrong("The images of this series are of different sizes.")
            step = (at[-1] - at[0]) / (len(at) - 1) if len(at) > 1 else normal * float(first.get("SliceThickness") or 1)
            affine = numpy.eye(4)
            affine[:3, 0], affine[:3, 1], affine[:3, 2], affine[:3, 3] = row * size[1], column * size[0], step, at[0]
            affine = numpy.diag([-1, -1, 1, 1]) @ affine  # from left, posterior, superior to right, anterior, superior
            data = numpy.stack([pixels(s).T for s in slices], axis=-1)
            return self.oriented(nibabel.Nifti1Image(data, affine), "DICOM", header, window)
        # Without a place in space: pictures as they are, one behind the other.
        data = numpy.stack([p for s in slices for p in (pixels(s) if frames > 1 else [pixels(s)])], axis=-1)
        data = data.transpose(1, 0, 2)[:, ::-1, :, None]
        return Volume("DICOM", numpy.ascontiguousarray(data), [size[1], size[0], 1.0], rows(header), [("picture", 2)], {}, window)

    def fits(self, path, number):
        from astropy.io import fits
        from astropy.wcs import WCS
        with fits.open(path) as f:
            if number >= len(f) or not f[number].is_image:
                raise Wrong("There is no such image in the file.")
            part = f[number]
            shape = [n for n in reversed(part.shape or ())]
            while len(shape) > 2 and shape[-1] == 1:
                shape.pop()
            self.check(shape)
            if len(shape) < 2:
                raise Wrong("There is no image in it.")
            data = numpy.asarray(part.data, dtype="float32").T.reshape((*shape, 1, 1)[:4])
            header = [(c.keyword, f"{c.value}" + (f"  / {c.comment}" if c.comment else "")) for c in part.header.cards if c.keyword]
            try:
                world = WCS(part.header).celestial
                world = world if world.has_celestial else None
            except Exception:  # a header that says nothing useful of the sky
                world = None

        def place(x, y, z):
            if world is None:
                return ""
            at = world.pixel_to_world(x, y).icrs
            return f"RA {at.ra.to_string('hourangle', sep=' ', precision=2, pad=True)}, Dec {at.dec.to_string('deg', sep=' ', precision=1, pad=True, alwayssign=True)} (ICRS)"

        planes = [("x – y", 2)] + ([("x – z", 1), ("y – z", 0)] if data.shape[2] > 1 else [])
        return Volume("FITS", data, [1.0, 1.0, 1.0], rows(header), planes, {}, None, place)


def pixels(d):
    """The picture of a DICOM file as numbers with their meaning (Hounsfield units, for instance)."""
    data = d.pixel_array
    if int(d.get("SamplesPerPixel", 1)) > 1:
        return (data.astype("float32") @ numpy.array([0.299, 0.587, 0.114], "float32")).astype("float32")
    data = data.astype("float32") * numpy.float32(d.get("RescaleSlope", 1) or 1) + numpy.float32(d.get("RescaleIntercept", 0) or 0)
    return -data if d.get("PhotometricInterpretation") == "MONOCHROME1" else data


def dicom_rows(d):
    found = []
    for e in d:
        if e.tag.group != 0x7FE0:
            found.append((f"{e.tag} {e.name}", f"{len(e.value)} parts" if e.VR == "SQ" else f"{len(e.value)} bytes" if isinstance(e.value, bytes) else e.value))
    return found


def rows(header):
    """Rows of a header as text, not too many and none too long."""
    text = [(str(k)[:MOST_TEXT], str(v) if len(str(v)) <= MOST_TEXT else str(v)[:MOST_TEXT] + " …") for k, v in header]
    return text[:MOST_ROWS] + ([("…", f"{len(text) - MOST_ROWS} more")] if len(text) > MOST_ROWS else [])
