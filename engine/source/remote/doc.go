// Package remote finds SIF files that lie elsewhere and gets them: from registries (oras://), from libraries as Sylabs runs
// one (library://), and from web servers (http://, https://).
//
// Registries are spoken to by engine/oci. Of the library's protocol it knows what serves images: GET v1/images/REF for what
// an image is and GET v1/imagefile/REF for its bytes, both with ?arch=, as github.com/sylabs/scs-library-client does
// (client/api.go, client/pull.go).
package remote
