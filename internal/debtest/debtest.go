// Package debtest makes tiny Debian archives for tests: hand-built packages, a Packages index, a Release signed with a
// key of its own, all served over HTTP on this machine, with files that can be damaged on purpose.
package debtest

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// Date is when every archive made here says it was published.
var Date = time.Date(2026, 7, 11, 10, 16, 37, 0, time.UTC)

// Package is a binary package to build.
type Package struct {
	Name, Version string
	// Fields are further control fields by name: "Depends", "Essential", "Priority", "Multi-Arch" …
	Fields map[string]string
	// Files are the entries of data.tar, in order; names as they are to stand there ("./usr/bin/x").
	Files []tar.Header
	// Content is what regular files hold, by name; a file without content here is empty.
	Content map[string]string
	// Data is data.tar, uncompressed, in place of Files.
	Data []byte
	// Members are the further files of control.tar: "preinst", "conffiles", "triggers" …
	Members map[string]string
	// Compression of both tars: "xz" (the default), "gz", "zst" or "none".
	Compression string
}

// Dir is a folder of mode 0755.
func Dir(name string) tar.Header {
	return tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755, ModTime: Date}
}

// File is a regular file of mode 0644.
func File(name string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, ModTime: Date}
}

// Symlink is a symbolic link.
func Symlink(name, target string) tar.Header {
	return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777, ModTime: Date}
}

// Link is a hard link.
func Link(name, target string) tar.Header {
	return tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, Mode: 0o644, ModTime: Date}
}

func (p Package) arch() string {
	if a := p.Fields["Architecture"]; a != "" {
		return a
	}
	return "all"
}

// Control is the package's control file.
func (p Package) Control() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Package: %s\nVersion: %s\nArchitecture: %s\nMaintainer: Test <test@example.org>\n", p.Name, p.Version, p.arch())
	names := make([]string, 0, len(p.Fields))
	for name := range p.Fields {
		if name != "Architecture" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "%s: %s\n", name, p.Fields[name])
	}
	b.WriteString("Description: a package for tests\n")
	return b.String()
}

// Build makes the package file.
func (p Package) Build(t testing.TB) []byte {
	t.Helper()
	control := []tar.Header{Dir("./"), File("./control")}
	content := map[string]string{"./control": p.Control()}
	for name, text := range p.Members {
		h := File("./" + name)
		h.Mode = 0o755
		control = append(control, h)
		content[h.Name] = text
	}
	compression, ending := p.Compression, ""
	switch compression {
	case "":
		compression, ending = "xz", ".xz"
	case "none":
	default:
		ending = "." + compression
	}
	data := p.Data
	if data == nil {
		data = makeTar(t, p.Files, p.Content)
	}
	var deb bytes.Buffer
	deb.WriteString("!<arch>\n")
	for _, m := range []struct {
		name string
		data []byte
	}{
		{"debian-binary", []byte("2.0\n")},
		{"control.tar" + ending, Compress(t, makeTar(t, control, content), compression)},
		{"data.tar" + ending, Compress(t, data, compression)},
	} {
		fmt.Fprintf(&deb, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", m.name, Date.Unix(), 0, 0, "100644", len(m.data))
		deb.Write(m.data)
		if len(m.data)%2 == 1 {
			deb.WriteByte('\n')
		}
	}
	return deb.Bytes()
}

func makeTar(t testing.TB, entries []tar.Header, content map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range entries {
		text := content[h.Name]
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(text))
		}
		h.Format = tar.FormatGNU
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Compress compresses with "xz", "gz", "zst" or "none".
func Compress(t testing.TB, data []byte, compression string) []byte {
	t.Helper()
	var b bytes.Buffer
	var w interface {
		Write([]byte) (int, error)
		Close() error
	}
	var err error
	switch compression {
	case "none":
		return data
	case "xz":
		w, err = xz.NewWriter(&b)
	case "gz":
		w = gzip.NewWriter(&b)
	case "zst":
		w, err = zstd.NewWriter(&b)
	default:
		t.Fatalf("unknown compression %q", compression)
	}
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Mirror is an archive with one suite.
type Mirror struct {
	URL     string
	Keyring string // file with the public key the archive is signed with
	Suite   string

	t      testing.TB
	entity *openpgp.Entity

	mu    sync.Mutex
	files map[string][]byte
	asked map[string]int
	// refuse, by path, answers a status that often before the file.
	refuse map[string][]int
	cut    map[string]int
}

// NewMirror builds an archive of a suite, with packages for the architecture given and for all, signs and serves it
// until the test ends.
func NewMirror(t testing.TB, suite, arch string, packages ...Package) *Mirror {
	t.Helper()
	m := &Mirror{
		t: t, Suite: suite, files: map[string][]byte{}, asked: map[string]int{}, refuse: map[string][]int{}, cut: map[string]int{},
		Keyring: filepath.Join(t.TempDir(), "test-archive.gpg"),
	}
	var err error
	m.entity, err = openpgp.NewEntity("Test archive", "", "archive@example.org", &packet.Config{
		Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return Date.Add(-time.Hour) },
	})
	if err != nil {
		t.Fatal(err)
	}
	var key bytes.Buffer
	if err := m.entity.Serialize(&key); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.Keyring, key.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	m.Publish(arch, "", packages...)
	server := httptest.NewServer(http.HandlerFunc(m.serve))
	t.Cleanup(server.Close)
	m.URL = server.URL
	return m
}

// Publish replaces the suite by one with these packages; header is put into its Release as further lines.
func (m *Mirror) Publish(arch, header string, packages ...Package) {
	m.t.Helper()
	var index bytes.Buffer
	files := map[string][]byte{}
	for _, p := range packages {
		deb := p.Build(m.t)
		name := "pool/main/" + p.Name + "/" + p.Name + "_" + strings.ReplaceAll(p.Version, ":", "%3a") + "_" + p.arch() + ".deb"
		files[name] = deb
		fmt.Fprintf(&index, "%sFilename: %s\nSize: %d\nSHA256: %x\n\n", p.Control(), name, len(deb), sha256.Sum256(deb))
	}
	var sums strings.Builder
	folder := "main/binary-" + arch
	for ending, compression := range map[string]string{"": "none", ".gz": "gz", ".xz": "xz"} {
		data := Compress(m.t, index.Bytes(), compression)
		name := folder + "/Packages" + ending
		files["dists/"+m.Suite+"/"+name] = data
		fmt.Fprintf(&sums, " %x %d %s\n", sha256.Sum256(data), len(data), name)
		files["dists/"+m.Suite+"/"+folder+fmt.Sprintf("/by-hash/SHA256/%x", sha256.Sum256(data))] = data
	}
	release := fmt.Sprintf("Origin: Test\nSuite: %s\nCodename: %[1]s\nDate: %s\nAcquire-By-Hash: yes\nArchitectures: %s\nComponents: main\n%sSHA256:\n%s",
		m.Suite, Date.Format(time.RFC1123), arch, header, sums.String())
	m.mu.Lock()
	m.files = files
	m.mu.Unlock()
	m.SignRelease(release)
}

// SignRelease makes a Release the suite's, signed as InRelease only.
func (m *Mirror) SignRelease(text string) {
	m.t.Helper()
	var b bytes.Buffer
	w, err := clearsign.Encode(&b, m.entity.PrivateKey, &packet.Config{Time: func() time.Time { return Date }})
	if err == nil {
		_, err = w.Write([]byte(text))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		m.t.Fatal(err)
	}
	m.Set("dists/"+m.Suite+"/InRelease", append(b.Bytes(), '\n'))
}

// DetachSignature replaces InRelease by Release and Release.gpg.
func (m *Mirror) DetachSignature() {
	m.t.Helper()
	base := "dists/" + m.Suite + "/"
	block, _ := clearsign.Decode(m.Get(base + "InRelease"))
	var sig bytes.Buffer
	if err := openpgp.ArmoredDetachSign(&sig, m.entity, bytes.NewReader(block.Plaintext), &packet.Config{Time: func() time.Time { return Date }}); err != nil {
		m.t.Fatal(err)
	}
	m.Set(base+"Release", block.Plaintext)
	m.Set(base+"Release.gpg", sig.Bytes())
	m.Set(base+"InRelease", nil)
}

// Set puts a file on the mirror, or takes it away when data is nil.
func (m *Mirror) Set(name string, data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if data == nil {
		delete(m.files, name)
		return
	}
	m.files[name] = data
}

// Get returns a file of the mirror; it fails the test when there is none.
func (m *Mirror) Get(name string) []byte {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.files[name]
	if !ok {
		m.t.Fatalf("mirror has no %s", name)
	}
	return slices.Clone(data)
}

// Folder writes the archive into a folder and returns its file URL.
func (m *Mirror) Folder() string {
	m.t.Helper()
	folder := m.t.TempDir()
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, data := range m.files {
		p := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			m.t.Fatal(err)
		}
		if err := os.WriteFile(p, data, 0o644); err != nil {
			m.t.Fatal(err)
		}
	}
	return "file://" + folder
}

// Refuse answers the next requests for a file with these status codes.
func (m *Mirror) Refuse(name string, status ...int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuse[name] = status
}

// Cut ends the connection of the next answer for a file after n bytes of its body.
func (m *Mirror) Cut(name string, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cut[name] = n
}

// Asked counts the requests for files whose name has a prefix.
func (m *Mirror) Asked(prefix string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for name, count := range m.asked {
		if strings.HasPrefix(name, prefix) {
			n += count
		}
	}
	return n
}

func (m *Mirror) serve(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	m.mu.Lock()
	m.asked[name]++
	data, ok := m.files[name]
	status := 0
	if codes := m.refuse[name]; len(codes) > 0 {
		status, m.refuse[name] = codes[0], codes[1:]
	}
	cut, cutting := m.cut[name]
	delete(m.cut, name)
	m.mu.Unlock()
	switch {
	case status != 0:
		w.WriteHeader(status)
	case !ok:
		http.NotFound(w, r)
	case cutting:
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		_, _ = w.Write(data[:cut])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	default:
		w.Header().Set("ETag", fmt.Sprintf(`"%x"`, sha256.Sum256(data)))
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}
}
