// Command release is `make release`: it builds the program for amd64 and arm64 into dist/, static and reproducible, each with
// a Debian package, a list of what is in it (SBOM, CycloneDX 1.6) and the licences of it, and writes their checksums. It
// builds everything twice, and fails when the bytes differ. It needs nothing but Go and git; dpkg-deb for the packages.
//
//	go run ./scripts/release [-out dist] [-once]
//	go run ./scripts/release -licences > docs/licences.md
package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// limit is the size in bytes that a binary should not reach.
const limit = 30 << 20

func main() {
	out := flag.String("out", "dist", "`FOLDER` to write to; what is in it is removed")
	once := flag.Bool("once", false, "do not build a second time to compare")
	list := flag.Bool("licences", false, "print the licences of the modules in the program, as Markdown, and nothing else")
	flag.Parse()
	err := func() error {
		if *list {
			text, err := licencesPage()
			fmt.Print(text)
			return err
		}
		return release(*out, !*once)
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// origin is what is released.
type origin struct {
	version, commit string
	time            time.Time // of the commit
}

func findOrigin() (origin, error) {
	version, err := output("git", "describe", "--tags", "--always", "--dirty")
	if err != nil {
		return origin{}, err
	}
	line, err := output("git", "log", "-1", "--format=%H %cI")
	if err != nil {
		return origin{}, err
	}
	commit, at, _ := strings.Cut(line, " ")
	when, err := time.Parse(time.RFC3339, at)
	return origin{version, commit, when.UTC()}, err
}

func (o origin) flags() string {
	return fmt.Sprintf("-s -w -buildid= -X main.buildVersion=%s -X main.buildCommit=%s -X main.buildDate=%s", o.version, o.commit, o.time.Format(time.RFC3339))
}

func release(dir string, twice bool) error {
	o, err := findOrigin()
	if err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	modules, err := linked()
	if err != nil {
		return err
	}
	texts, err := licenceTexts(modules)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "LICENCES.txt"), []byte(texts), 0o644); err != nil {
		return err
	}
	var packages []string
	for _, arch := range []string{"amd64", "arm64"} {
		file := filepath.Join(dir, "carrel-linux-"+arch)
		if err := build(o, arch, file); err != nil {
			return err
		}
		if twice {
			if err := again(o, arch, file); err != nil {
				return err
			}
		}
		st, err := os.Stat(file)
		if err != nil {
			return err
		}
		fmt.Printf("%s\t%.1f MB\n", file, float64(st.Size())/1e6)
		if st.Size() >= limit {
			return fmt.Errorf("%s has %d bytes; it should have less than %d", file, st.Size(), limit)
		}
		sbom, err := bom(file, o, modules)
		if err != nil {
			return err
		}
		if err := os.WriteFile(file+".cdx.json", sbom, 0o644); err != nil {
			return err
		}
		packages = append(packages, file)
	}
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		fmt.Println("dpkg-deb is not there; Debian packages are left out")
	} else {
		pages, err := os.MkdirTemp("", "carrel-man-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(pages)
		if err := companions(o, pages); err != nil {
			return err
		}
		for _, file := range packages {
			deb, err := debianPackage(o, file, pages, texts, dir)
			if err != nil {
				return err
			}
			fmt.Println(deb)
		}
	}
	return checksums(dir)
}

// build makes one binary. The time zone, folders and commit of the build are not in it, but for what flags say.
func build(o origin, arch, file string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", o.flags(), "-o", file, "./cmd/carrel")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOFLAGS=", "GOAMD64=v1", "GOARM64=v8.0")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build for %s: %w", arch, err)
	}
	return nil
}

// again builds the same from a copy of the sources in another folder, and compares.
func again(o origin, arch, file string) error {
	copied, err := os.MkdirTemp("", "carrel-again-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(copied)
	second := filepath.Join(copied, "carrel")
	if strings.HasSuffix(o.version, "-dirty") {
		err = build(o, arch, second) // what is not committed is nowhere else
	} else {
		sources := filepath.Join(copied, "elsewhere")
		if _, err := output("git", "worktree", "add", "--detach", sources, o.commit); err != nil {
			return err
		}
		defer func() { _, _ = output("git", "worktree", "remove", "--force", sources) }() // the folder goes in any case
		cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", o.flags(), "-o", second, "./cmd/carrel")
		cmd.Dir = sources
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOFLAGS=", "GOAMD64=v1", "GOARM64=v8.0")
		cmd.Stderr = os.Stderr
		err = cmd.Run()
	}
	if err != nil {
		return fmt.Errorf("build again: %w", err)
	}
	one, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	two, err := os.ReadFile(second)
	if err != nil {
		return err
	}
	if !bytes.Equal(one, two) {
		return fmt.Errorf("%s: a second build has other bytes", file)
	}
	return nil
}

// companions writes manual pages and completions with a binary that runs on this computer.
func companions(o origin, dir string) error {
	self := filepath.Join(dir, "carrel")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", o.flags(), "-o", self, "./cmd/carrel")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	defer os.Remove(self)
	if _, err := output(self, "man-pages", filepath.Join(dir, "man")); err != nil {
		return err
	}
	for shell, file := range map[string]string{
		"bash": "bash-completion/completions/carrel", "zsh": "zsh/vendor-completions/_carrel", "fish": "fish/vendor_completions.d/carrel.fish",
	} {
		text, err := exec.Command(self, "completion", shell).Output()
		if err != nil {
			return fmt.Errorf("completion %s: %w", shell, err)
		}
		if err := write(filepath.Join(dir, file), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func write(file string, data []byte, perm fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, data, perm)
}

// checksums writes SHA256SUMS, which sha256sum -c reads.
func checksums(dir string) error {
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, e := range list {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256(data), e.Name())
	}
	return os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(b.String()), 0o644)
}

func output(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, exit.Stderr)
	}
	return strings.TrimSpace(string(out)), err
}

// sorted is a copy of names in order.
func sorted(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return names
}
