package build_test

import (
	"archive/zip"
	"bytes"
	"crypto/md5"
	"crypto/sha512"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"carrel/engine"
)

// programsOfThisComputer is a root folder without programs, and what is bound into it so that it has this computer's.
func (k *kit) programsOfThisComputer() (root string, binds []engine.Bind) {
	k.t.Helper()
	root = filepath.Join(k.dir, "programs")
	for _, d := range []string{"usr", "dev", "etc", "opt", "proc", "root", "sys", "tmp", "var/tmp"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			k.t.Fatal(err)
		}
	}
	for _, d := range []string{"bin", "sbin", "lib", "lib32", "lib64"} {
		to, err := os.Readlink("/" + d)
		if err != nil && d != "lib32" {
			k.t.Skip("missing: a merged /usr")
		}
		if err == nil {
			if err := os.Symlink(to, filepath.Join(root, d)); err != nil {
				k.t.Fatal(err)
			}
		}
	}
	for _, p := range []string{"/usr", "/etc/alternatives", "/etc/R"} {
		if _, err := os.Stat(p); err == nil {
			binds = append(binds, engine.Bind{Source: p, Dest: p, ReadOnly: true})
		}
	}
	return root, binds
}

// TestClients lets the real pip, npm and R install from servers on this computer and throw away what they have downloaded, as
// definition files do. The second build downloads no package.
func TestClients(t *testing.T) {
	need(t, "python3")
	for _, tt := range []struct {
		name, program string
		files         func(t testing.TB, address string) map[string][]byte
		secure        bool
		post          string
		result        string
	}{
		{
			name: "pip", program: "/usr/bin/pip3", files: wheels, secure: true, // pip keeps nothing that came unencrypted
			post: `/usr/bin/python3 -m pip install --cert /opt/ca.pem --target /opt/tool --index-url ADDRESS/simple lab-tool
    /usr/bin/python3 -m pip cache purge
    cp /opt/tool/lab_tool.py /result`,
			result: "answer = 42\n",
		},
		{
			name: "npm", program: "/usr/bin/npm", files: npmPackages,
			post: `cd /opt && npm install --no-audit --no-fund --registry ADDRESS lab-tool && npm cache clean --force
    cp /opt/node_modules/lab-tool/index.js /result`,
			result: "module.exports = 42\n",
		},
		{
			name: "R", program: "/usr/bin/Rscript", files: rPackages,
			post: `mkdir /opt/R
    Rscript -e 'install.packages("labtool", repos = "ADDRESS", lib = "/opt/R")'
    Rscript -e 'cat(labtool::answer(), "\n", file = "/result")' -e '.libPaths()'`,
			result: "42 \n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := os.Stat(tt.program); err != nil {
				t.Skip("missing: " + filepath.Base(tt.program))
			}
			k := newKit(t)
			root, binds := k.programsOfThisComputer()
			var files map[string][]byte
			var packages, other atomic.Int32
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				data, ok := files[r.URL.Path]
				if !ok {
					http.NotFound(w, r)
					return
				}
				if strings.HasSuffix(r.URL.Path, ".whl") || strings.HasSuffix(r.URL.Path, "gz") && !strings.HasSuffix(r.URL.Path, "PACKAGES.gz") {
					packages.Add(1)
					w.Header().Set("Cache-Control", "max-age=365000000, immutable") // as PyPI
				} else {
					other.Add(1)
				}
				if strings.Contains(r.URL.Path, "simple") {
					w.Header().Set("Content-Type", "text/html")
				}
				_, _ = w.Write(data)
			})
			server := httptest.NewUnstartedServer(handler)
			if tt.secure {
				server.StartTLS()
				authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
				if err := os.WriteFile(filepath.Join(root, "opt/ca.pem"), authority, 0o644); err != nil {
					t.Fatal(err)
				}
			} else {
				server.Start()
			}
			defer server.Close()
			files = tt.files(t, server.URL)
			for n := 1; n <= 2; n++ {
				text := fmt.Sprintf("Bootstrap: localimage\nFrom: %s\n%%post\n    export R_LIBS=/opt/R # build %d\n    %s\n", root, n, strings.ReplaceAll(tt.post, "ADDRESS", server.URL))
				img, ev := k.build(text, engine.BuildSpec{Target: fmt.Sprintf("%d.sif", n), Binds: binds})
				if got := read(t, img, "/result"); got != tt.result {
					t.Errorf("build %d: the package says %q\n%s", n, got, ev.log(""))
				}
				if got := packages.Load(); got != 1 || other.Load() == 0 {
					t.Errorf("after build %d the package was sent %d times, other files %d times\n%s", n, got, other.Load(), ev.log(""))
				}
			}
			k.workEmpty()
		})
	}
}

// wheels is a package index as pip reads it (PEP 503), with one wheel (PEP 427).
func wheels(t testing.TB, _ string) map[string][]byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range [][2]string{
		{"lab_tool.py", "answer = 42\n"},
		{"lab_tool-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: lab-tool\nVersion: 1.0\n"},
		{"lab_tool-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
		{"lab_tool-1.0.dist-info/RECORD", "lab_tool.py,,\nlab_tool-1.0.dist-info/METADATA,,\nlab_tool-1.0.dist-info/WHEEL,,\nlab_tool-1.0.dist-info/RECORD,,\n"},
	} {
		w, err := z.Create(f[0])
		if err == nil {
			_, err = w.Write([]byte(f[1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	const name = "lab_tool-1.0-py3-none-any.whl"
	return map[string][]byte{
		"/simple/lab-tool/": fmt.Appendf(nil, `<!DOCTYPE html><html><body><a href="/files/%[1]s">%[1]s</a></body></html>`, name),
		"/files/" + name:    b.Bytes(),
	}
}

// npmPackages is a registry with one package (the packument of npm's registry API).
func npmPackages(t testing.TB, address string) map[string][]byte {
	data := archive(t, []file{
		{"package/package.json", `{"name":"lab-tool","version":"1.0.0","main":"index.js"}`, 0o644},
		{"package/index.js", "module.exports = 42\n", 0o644},
	})
	sum := sha512.Sum512(data)
	return map[string][]byte{
		"/lab-tool": fmt.Appendf(nil, `{"name":"lab-tool","dist-tags":{"latest":"1.0.0"},"versions":{"1.0.0":{"name":"lab-tool","version":"1.0.0",
			"dist":{"tarball":"%s/lab-tool/-/lab-tool-1.0.0.tgz","integrity":"sha512-%s"}}}}`, address, base64.StdEncoding.EncodeToString(sum[:])),
		"/lab-tool/-/lab-tool-1.0.0.tgz": data,
	}
}

// rPackages is a repository as tools::write_PACKAGES makes it, with one source package.
func rPackages(t testing.TB, _ string) map[string][]byte {
	data := archive(t, []file{
		{"labtool/DESCRIPTION", "Package: labtool\nVersion: 1.0\nTitle: Tool\nAuthor: Lab\nMaintainer: Lab <lab@example.org>\nDescription: A tool.\nLicense: GPL-3\n", 0o644},
		{"labtool/NAMESPACE", "export(answer)\n", 0o644},
		{"labtool/R/answer.R", "answer <- function() 42\n", 0o644},
	})
	return map[string][]byte{
		"/src/contrib/PACKAGES":           fmt.Appendf(nil, "Package: labtool\nVersion: 1.0\nLicense: GPL-3\nMD5sum: %x\nNeedsCompilation: no\n\n", md5.Sum(data)),
		"/src/contrib/labtool_1.0.tar.gz": data,
	}
}
