package build

import (
	"context"
	"io"
	"path"
	"strings"

	"carrel/engine/tree"
)

// An installation leaves in its tree, besides what it is for, when and where it was run. A reproducible image does without:
//
//	/var/log/**                     emptied: logs with times
//	/etc/machine-id                 emptied, as machine-id(5) says of images; so is that of D-Bus
//	/var/cache/ldconfig/aux-cache   left out: inode numbers; ldconfig makes it again
//	/var/cache/apt/*.bin            left out: apt makes them again
//	/var/cache/man/**               left out: times of pages; mandb makes them again
//
// What programs write with today's date in it is dated by SOURCE_DATE_EPOCH, which sections see: Python's compiled files
// (checked by contents then), /etc/shadow, caches of fonts. Times of files are limited when they are packed. Keys that an
// installation makes for this one computer (/etc/ssh, /etc/ssl/private) are as different as they have to be.

type reproducible struct{ tree.Source }

func (r reproducible) WriteTo(ctx context.Context, sink tree.Sink) error {
	return r.Source.WriteTo(ctx, reproducibleSink{sink})
}

type reproducibleSink struct{ tree.Sink }

func (r reproducibleSink) Add(e tree.Entry, body io.Reader) error {
	if !e.IsRegular() {
		return r.Sink.Add(e, body)
	}
	switch p := e.Path; {
	case p == "var/cache/ldconfig/aux-cache", path.Dir(p) == "var/cache/apt" && path.Ext(p) == ".bin", strings.HasPrefix(p, "var/cache/man/"):
		return nil
	case strings.HasPrefix(p, "var/log/"), p == "etc/machine-id", p == "var/lib/dbus/machine-id":
		if e.HardLink == "" {
			e.Size, body = 0, strings.NewReader("")
		}
	}
	return r.Sink.Add(e, body)
}
