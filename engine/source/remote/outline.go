package remote

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"carrel/engine/sif"
	"carrel/internal/download"
)

const (
	outlineFront = 64 << 10 // bytes asked for first: header, descriptors, and most often what describes the image
	outlineMost  = 4 << 20  // bytes of one object that is fetched
)

// Outline gets of a SIF only what it says about itself, by requests for ranges of bytes, into a sparse file of the size of the
// whole, whose path it returns. The file systems in it are holes. The caller calls release. ok is false where that cannot be had:
// the server knows no ranges, or the file is none that describes itself beside its file system.
//
// What is got so cannot be compared with the digest of the whole: it is for showing, not for running.
func (f *File) Outline(ctx context.Context) (path string, release func(), ok bool, err error) {
	if err := os.MkdirAll(f.options.Cache, 0o755); err != nil {
		return "", nil, false, err
	}
	out, err := os.CreateTemp(f.options.Cache, "outline-*.sif")
	if err != nil {
		return "", nil, false, err
	}
	remove := func() {
		out.Close()
		os.Remove(out.Name())
	}
	defer func() {
		if !ok {
			remove()
		}
	}()
	total, ok, err := f.piece(ctx, out, 0, outlineFront)
	if !ok || err != nil {
		return "", nil, false, err
	}
	if err := out.Truncate(total); err != nil {
		return "", nil, false, err
	}
	m, err := sif.Open(out.Name())
	if err != nil {
		return "", nil, false, nil // the whole file will tell
	}
	defer m.Close()
	for _, o := range m.Objects {
		switch o.Type {
		case sif.TypeDefinition, sif.TypeEnvironment, sif.TypeLabels, sif.TypeJSON, sif.TypeSignature:
		default:
			continue
		}
		if o.Offset+o.Size <= outlineFront || o.Size == 0 {
			continue
		}
		if o.Size > outlineMost {
			return "", nil, false, nil
		}
		if _, ok, err := f.piece(ctx, out, o.Offset, o.Size); !ok || err != nil {
			return "", nil, false, err
		}
	}
	if text, err := m.JSON(sif.MetadataName); err != nil || len(text) == 0 {
		return "", nil, false, nil
	}
	f.Size = total
	return out.Name(), remove, true, nil
}

// piece gets a range of the file to where it belongs in out, and tells how large the whole is. ok is false when the server sends
// something else than the range.
func (f *File) piece(ctx context.Context, out io.WriterAt, at, size int64) (total int64, ok bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.source.URL, nil)
	if err != nil {
		return 0, false, err
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", at, at+size-1))
	res, err := f.source.Client.Do(req)
	if err != nil {
		return 0, false, f.explain(err)
	}
	defer res.Body.Close()
	if res.StatusCode >= http.StatusBadRequest && res.StatusCode != http.StatusRequestedRangeNotSatisfiable {
		return 0, false, f.explain(download.Status(res))
	}
	span, whole, found := strings.Cut(strings.TrimPrefix(res.Header.Get("Content-Range"), "bytes "), "/")
	first, _, _ := strings.Cut(span, "-")
	total, terr := strconv.ParseInt(whole, 10, 64)
	if res.StatusCode != http.StatusPartialContent || !found || terr != nil || first != strconv.FormatInt(at, 10) ||
		total < at || total > maxFile || f.Size >= 0 && total != f.Size {
		return 0, false, nil
	}
	size = min(size, total-at)
	data := make([]byte, size)
	if _, err := io.ReadFull(res.Body, data); err != nil {
		return 0, false, f.explain(err)
	}
	_, err = out.WriteAt(data, at)
	return total, err == nil, err
}
