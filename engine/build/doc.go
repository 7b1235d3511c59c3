// Package build makes an image of a definition: it fetches the base of each stage, runs the sections in their order, and
// packs the result.
//
// Run works as "root": of the machine, or of a user namespace (sandbox.StartWorker), in a mount namespace of its own.
// The order of the sections is Apptainer's (internal/pkg/build/stage.go and its log): %pre, base, %files from stages,
// %setup, %files, %post, %appinstall, then the scripts and metadata, %test, and the image.
//
// Each stage's tree is an overlay: the base, made once and kept in the cache, below; what the stage changes above. The
// target appears only when everything has succeeded.
package build
