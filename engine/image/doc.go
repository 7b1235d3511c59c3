// Package image is one view of an image at rest, whatever its form: a SIF, a SquashFS alone in a file, a sandbox folder.
// It tells what the image says about itself, gives its contents as a file system and as a tree.Source, and tells where
// its partitions lie for whoever mounts them. It also makes the part of an image by which it explains itself: the folder
// /.singularity.d, and the metadata that a SIF carries beside its file system.
//
// Nothing of an image is ever executed here. What is read of it is bounded in size, and text for people is cleaned of
// control characters.
//
// The files of /.singularity.d, their names and their meaning are those of Singularity since 2.3 and of Apptainer
// (internal/pkg/build/metadata.go and internal/pkg/build/sources there); their texts are ours.
package image
