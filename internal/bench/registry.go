package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// registryQuestions ask how long it takes to make an image file of an image in a registry.
func registryQuestions(ctx context.Context, l *lab) ([]question, error) {
	t, err := l.tree(ctx)
	if err != nil {
		return nil, err
	}
	address, layer, err := l.serveRegistry(ctx, t.dir)
	if err != nil {
		return nil, fmt.Errorf("serve a registry: %w", err)
	}
	ref := "docker://" + address + "/tree:latest"
	p := l.me()
	image := func(name string, args func(out string) []string) contender {
		return l.writes(name, p, writesImage("x.sif", args))
	}
	carrel := writesImage("x.sif", func(out string) []string { return []string{l.carrel, "build", "--quiet", out, ref} })
	carrel.env = func(dir string) []string { return []string{"XDG_CACHE_HOME=" + filepath.Join(dir, "cache")} }
	return []question{{
		title: "Registry to image, as " + p.name, unit: seconds, runs: 10,
		about: "From a registry on this computer, of " + t.name + " as one layer (gzip); nothing is in a cache.",
		contenders: []contender{
			withOurs(l.writes("Carrel, SIF", p, carrel)),
			image("Apptainer, SIF", func(out string) []string {
				return []string{l.apptain, "pull", "--no-https", "--disable-cache", out, ref}
			}),
			withLess(image("public tools: curl, gzip, tar2sqfs", func(out string) []string {
				return []string{"sh", "-c", `curl -sf "$1" | gzip -dc | tar2sqfs -q -c zstd -X level=3 "$2"`, "sh", "http://" + address + "/v2/tree/blobs/" + layer, out}
			}), "one layer, no checks, no SIF").needs("curl").needs("tar2sqfs"),
			withLess(l.writes("podman pull", p, writing{args: func(dir string) []string {
				return []string{"podman", "--root", filepath.Join(dir, "storage"), "--runroot", filepath.Join(dir, "run"), "pull", "-q", "--tls-verify=false", ref}
			}}), "a folder, no image file"),
			withLess(l.writes("skopeo copy, to an OCI layout", p, writing{args: func(dir string) []string {
				return []string{"skopeo", "copy", "-q", "--src-tls-verify=false", ref, "oci:" + filepath.Join(dir, "oci") + ":latest"}
			}}), "does not unpack"),
			withLess(l.writes("umoci unpack, from an OCI layout", p, writing{
				setup: func(ctx context.Context, dir string) error {
					return l.call(p, "skopeo", "copy", "-q", "--src-tls-verify=false", ref, "oci:"+filepath.Join(dir, "oci")+":latest").run(ctx).err()
				},
				args: func(dir string) []string {
					return []string{"umoci", "unpack", "--image", filepath.Join(dir, "oci") + ":latest", filepath.Join(dir, "bundle")}
				},
			}).needs("skopeo"), "a folder, no registry, no image file"),
		},
	}}, nil
}

// serveRegistry serves a tree as an image of one layer, /tree:latest, until the lab is tidied up. It returns the address and
// the layer's digest. The registry is a process of its own: what it holds in memory would count for the programs that are
// measured, because a process begins with the peak of the one that made it (execve(2) keeps what getrusage(2) tells).
func (l *lab) serveRegistry(ctx context.Context, tree string) (address, layer string, err error) {
	archive, err := l.layerOf(ctx, tree)
	if err != nil {
		return "", "", err
	}
	blobs := l.name("blobs")
	if err := os.Mkdir(blobs, 0o755); err != nil {
		return "", "", err
	}
	cmd := exec.Command("/proc/self/exe", registryVerb, blobs, archive)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", "", err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", "", err
	}
	if err := cmd.Start(); err != nil {
		return "", "", err
	}
	l.later(func() error {
		in.Close()
		return cmd.Wait()
	})
	if _, err := fmt.Fscan(out, &address, &layer); err != nil {
		return "", "", fmt.Errorf("start the registry: %w", err)
	}
	return address, layer, nil
}

// registryVerb is the argument with which this program is a registry.
const registryVerb = "registry"

// serveBlobs is a registry that keeps its blobs in a folder and has an archive as an image of one layer. It says its address
// and the layer's digest, and ends with its standard input.
func serveBlobs(blobs, archive string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	handler := registry.New(registry.WithBlobHandler(registry.NewDiskBlobHandler(blobs)), registry.Logger(log.New(io.Discard, "", 0)))
	server := http.Server{Handler: handler}
	done := make(chan struct{})
	go func() {
		_ = server.Serve(listener) // until it is closed
		close(done)
	}()
	address := listener.Addr().String()
	digest, err := push(context.Background(), address+"/tree:latest", archive)
	if err == nil {
		fmt.Println(address, digest)
		_, _ = io.Copy(io.Discard, os.Stdin) // an error is an end as well
	}
	err = errors.Join(err, server.Close())
	<-done
	return err
}

// push puts an archive into a registry as an image of one layer.
func push(ctx context.Context, reference, archive string) (v1.Hash, error) {
	l, err := tarball.LayerFromFile(archive)
	if err != nil {
		return v1.Hash{}, err
	}
	digest, err := l.Digest()
	if err != nil {
		return v1.Hash{}, err
	}
	img, err := mutate.AppendLayers(empty.Image, l)
	if err != nil {
		return v1.Hash{}, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return v1.Hash{}, err
	}
	config.OS, config.Architecture, config.Config.Cmd = "linux", goarch, []string{"/bin/sh"}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		return v1.Hash{}, err
	}
	ref, err := name.ParseReference(reference, name.Insecure)
	if err != nil {
		return v1.Hash{}, err
	}
	return digest, remote.Write(ref, img, remote.WithContext(ctx))
}

// layerOf is a compressed archive of a tree, kept between runs as long as it is newer than the tree.
func (l *lab) layerOf(ctx context.Context, tree string) (string, error) {
	path := filepath.Join(l.keep, "layer-"+filepath.Base(tree)+".tar.gz")
	made, err := os.Stat(path)
	if err == nil {
		st, err := os.Stat(tree)
		if err != nil {
			return "", err
		}
		if made.ModTime().After(st.ModTime()) {
			return path, nil
		}
	}
	l.say("making " + path)
	part := path + ".part"
	o := l.call(l.me(), "sh", "-c", `tar --numeric-owner -C "$1" -cf - . | gzip -6 > "$2"`, "sh", tree, part).run(ctx)
	if o.Error != "" {
		return "", errors.Join(o.err(), os.Remove(part))
	}
	return path, os.Rename(part, path)
}
