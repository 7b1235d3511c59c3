// Package assets holds the files that travel inside the binary. It has no logic.
package assets

import (
	"embed"
	"io/fs"
)

//go:embed all:catalog
var files embed.FS

// Catalog is the built-in catalog: a folder for each app, with its definition file.
func Catalog() fs.FS {
	sub, err := fs.Sub(files, "catalog")
	if err != nil {
		panic(err) // the name is a constant
	}
	return sub
}
