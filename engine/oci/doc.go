// Package oci reads container images from registries, OCI layouts and archives, and produces their root file system as
// a stream of entries, without an unpacked copy on disk.
//
// It follows the OCI image and distribution specifications (media types, manifests, "layer.md" for whiteouts) and what
// docker save writes. Registries are spoken to by github.com/google/go-containerregistry.
//
// # How layers become one tree
//
// Layers are read once each, from the topmost down: an entry is produced unless a layer above has already said what is
// at its path. What must be remembered of the layers above is a hash and a few bits for each path. The usual order,
// bottom up, would need either an unpacked tree to delete from, or a first reading of everything just to learn what is
// going to be deleted. Two rare cases need a second reading, of one layer or of the lower layers' names:
//   - a hard link whose first name is hidden by a layer above, so that its content is found under a hidden name;
//   - an entry whose parent folder is not in its own layer, and may be a symbolic link in a lower one (bin → usr/bin).
//
// Every layer is verified against its digest (of the compressed bytes) and its diffID (of the tar).
package oci
