#!/usr/bin/python3
"""Makes the examples: a head of ellipsoids as NIfTI and as a DICOM series, a head in which a spot lights up, and a sky as FITS. All of
it is invented."""
import os
import sys

import nibabel
import numpy as np
import pydicom
from astropy.io import fits
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

folder = sys.argv[1]
r = np.random.default_rng(1917)

# The head: ellipsoids (value, half axes, centre), after the phantom of Shepp and Logan (1974), doi:10.1109/TNS.1974.6499235, in
# a box from -1 to 1, x to the right, y to the front, z upwards. The ear is at the person's right only.
ELLIPSOIDS = [
    (1000, (.69, .9, .88), (0, 0, 0)), (-700, (.64, .84, .82), (0, 0, 0)), (150, (.12, .3, .25), (.2, -.05, .05)), (150, (.14, .33, .28), (-.22, -.05, .05)),
    (120, (.2, .2, .2), (0, .4, -.15)), (-150, (.05, .05, .05), (0, .08, .3)), (200, (.06, .05, .08), (.08, -.6, 0)), (600, (.06, .1, .12), (.73, -.05, -.1)), (250, (.08, .08, .08), (-.35, .25, .35)),
]


def head(shape):
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    data = np.zeros(shape)
    for value, (a, b, c), (u, v, w) in ELLIPSOIDS:
        data[((x - u) / a) ** 2 + ((y - v) / b) ** 2 + ((z - w) / c) ** 2 <= 1] += value
    return data


voxels = (96, 112, 96)
data = head(voxels) + r.normal(0, 12, voxels)
affine = np.diag([2.0, 2.0, 2.0, 1.0])
affine[:3, 3] = [-96, -112, -96]
# Stored from right to left, as many scanners do: a viewer has to turn it.
image = nibabel.Nifti1Image(data.astype("int16"), affine)
image.header["descrip"] = b"Invented head"
image.header.set_xyzt_units("mm", "sec")
nibabel.save(image.as_reoriented(np.array([[0, -1], [1, 1], [2, 1]])), os.path.join(folder, "head.nii.gz"))

small = (48, 56, 40)
still = head(small)
times = np.repeat(still[..., None], 12, axis=3)
times[12:17, 36:42, 24:30] += 220 * np.clip(np.sin(np.arange(12) / 12 * 4 * np.pi), 0, 1)
affine = np.diag([4.0, 4.0, 4.8, 1.0])
affine[:3, 3] = [-96, -112, -96]
nibabel.save(nibabel.Nifti1Image((times + r.normal(0, 15, times.shape)).astype("int16"), affine), os.path.join(folder, "activity.nii.gz"))

# The series: slices from the feet to the head, in Hounsfield units with an offset, patient's left at the right of the picture.
series = os.path.join(folder, "head-ct")
os.makedirs(series)
scan = head((128, 128, 32))
for k in range(32):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = f"1.2.826.0.1.3680043.10.1.{k + 1}"
    d = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    d.is_little_endian, d.is_implicit_VR = True, False
    d.SOPClassUID, d.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    d.StudyInstanceUID, d.SeriesInstanceUID = "1.2.826.0.1.3680043.10.2", "1.2.826.0.1.3680043.10.3"
    d.PatientName, d.PatientID, d.Modality, d.SeriesDescription = "Invented^Head", "none", "CT", "Head 6 mm"
    d.InstanceNumber, d.SliceThickness, d.PixelSpacing = k + 1, 6, [1.5, 1.5]
    d.ImageOrientationPatient, d.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [-96, -96, -96 + 6 * k]
    d.Rows, d.Columns, d.SamplesPerPixel, d.PhotometricInterpretation = 128, 128, 1, "MONOCHROME2"
    d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16, 16, 15, 0
    d.RescaleSlope, d.RescaleIntercept, d.WindowCenter, d.WindowWidth = 1, -1024, 100, 900
    # Columns go to the patient's left, rows to the back.
    values = scan[::-1, ::-1, k].T + r.normal(0, 15, (128, 128))
    d.PixelData = np.clip(np.where(values < 60, -1000, values) + 1024, 0, 4095).astype("<u2").tobytes()
    d.save_as(os.path.join(series, f"IM{32 - k:04}"), write_like_original=False)

# The sky: stars and a galaxy near the place of M 51, and a second image, of three colours.
n = 512
y, x = np.mgrid[:n, :n]
sky = r.poisson(180, (n, n)).astype(float)
for brightness, u, v in zip(10 ** r.uniform(2.2, 5, 220), r.uniform(0, n, 220), r.uniform(0, n, 220)):
    near = (slice(max(0, int(v) - 12), int(v) + 13), slice(max(0, int(u) - 12), int(u) + 13))
    sky[near] += brightness / 13 * np.exp(-((x[near] - u) ** 2 + (y[near] - v) ** 2) / 4.2)
radius, angle = np.hypot((x - 300), (y - 240) * 1.5), np.arctan2((y - 240) * 1.5, x - 300)
sky += 4000 * np.exp(-radius / 28) * (1 + .7 * np.cos(2 * angle - radius / 11))
header = fits.Header()
header["OBJECT"] = ("invented", "none of these stars exists")
header["CTYPE1"], header["CTYPE2"], header["CUNIT1"], header["CUNIT2"] = "RA---TAN", "DEC--TAN", "deg", "deg"
header["CRVAL1"], header["CRVAL2"], header["CRPIX1"], header["CRPIX2"] = 202.47, 47.195, 300.0, 240.0
header["CDELT1"], header["CDELT2"], header["RADESYS"] = -4e-4, 4e-4, "ICRS"
colours = np.stack([sky[::4, ::4] * f for f in (.6, 1, 1.3)])
fits.HDUList([fits.PrimaryHDU(sky.astype("float32"), header), fits.ImageHDU(colours.astype("int32"), name="BANDS")]).writeto(os.path.join(folder, "sky.fits"))
