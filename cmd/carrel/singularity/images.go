package singularity

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"carrel/engine"
)

func (p *program) inspectVerb() verb {
	var part engine.Selection
	var all, asJSON bool
	return verb{
		name: "inspect", args: "[OPTION …] IMAGE", short: "Show what an image says of itself", low: 1, high: 1, interspersed: true,
		options: []option{
			{long: "all", value: &all, help: "everything, as JSON"},
			{long: "app", value: &part.App, help: "what an app (SCIF) says instead of the image"},
			{long: "deffile", short: "d", value: &part.Definition, help: "the definition file"},
			{long: "environment", short: "e", value: &part.Environment, help: "the environment"},
			{long: "helpfile", short: "H", value: &part.Help, help: "the help"},
			{long: "json", short: "j", value: &asJSON, help: "as JSON"},
			{long: "labels", short: "l", value: &part.Labels, help: "the labels, as without an option"},
			{long: "list-apps", value: &part.Apps, help: "the apps"},
			{long: "runscript", short: "r", value: &part.Runscript, help: "the runscript"},
			{long: "startscript", short: "s", value: &part.Startscript, help: "the startscript"},
			{long: "test", short: "t", value: &part.Test, help: "the test"},
		},
		run: func(ctx context.Context, args []string) error {
			in, err := p.inspect(ctx, args[0], part.App)
			if err != nil {
				return err
			}
			if all {
				app := part.App
				part, asJSON = engine.Everything, true
				part.App = app
			}
			if !asJSON {
				text := in.Text(part)
				return p.print(printable(text) + text[len(strings.TrimRight(text, "\n")):])
			}
			b, err := in.Document(part)
			if err != nil {
				return err
			}
			return p.print(string(b))
		},
	}
}

// inspect reads what an image says of itself; app is one that it has to have, or empty.
func (p *program) inspect(ctx context.Context, name, app string) (engine.Inspection, error) {
	e, err := p.engine(false, name)
	if err != nil {
		return engine.Inspection{}, err
	}
	in, err := e.Inspect(ctx, name)
	if err == nil && app != "" && !slices.Contains(in.Apps, app) {
		hint := "it has none"
		if len(in.Apps) > 0 {
			hint = "its apps are " + strings.Join(in.Apps, ", ")
		}
		err = &hintError{fmt.Errorf("app %s of %s: %w", app, name, engine.ErrNotFound), hint}
	}
	return in, err
}

func (p *program) runHelpVerb() verb {
	app := ""
	return verb{
		name: "run-help", args: "[OPTION …] IMAGE", short: "Show the help of an image", low: 1, high: 1, interspersed: true,
		options: []option{{long: "app", value: &app, env: []string{"APP", "APPNAME"}, help: "of an app (SCIF)"}},
		run: func(ctx context.Context, args []string) error {
			in, err := p.inspect(ctx, args[0], app)
			if err != nil {
				return err
			}
			if text := in.Text(engine.Selection{Help: true, App: app}); text != "" {
				return p.print(printable(text) + "\n")
			}
			return p.print("No help sections were defined for this image\n")
		},
	}
}

func (p *program) verifyVerb() verb {
	const noChains = "a key is compared, not a chain of certificates: --key FILE"
	asJSON, all, local, legacy, key := false, false, false, false, ""
	return verb{
		name: "verify", args: "[OPTION …] IMAGE", short: "Tell whether an image is signed with a known key, and unchanged since", low: 1, high: 1, interspersed: true,
		differs: "keys are those of --key and of the local keyring (~/.apptainer/keys, or APPTAINER_KEYSDIR); no key server is asked, and every part has to be signed",
		options: []option{
			{long: "all", short: "a", value: &all, help: "without effect, because all parts are read anyway"},
			{long: "certificate", value: &noText, env: []string{"VERIFY_CERTIFICATE"}, absent: noChains},
			{long: "certificate-intermediates", value: &noText, env: []string{"VERIFY_INTERMEDIATES"}, absent: noChains},
			{long: "certificate-roots", value: &noText, env: []string{"VERIFY_ROOTS"}, absent: noChains},
			{long: "groupid", value: &noText, absent: "all parts are read", hidden: true},
			{long: "id", value: &noText, absent: "all parts are read", hidden: true},
			{long: "group-id", short: "g", value: &noText, absent: "all parts are read"},
			{long: "json", short: "j", value: &asJSON, help: "as JSON", differs: "the JSON is Carrel's own"},
			{long: "key", value: &key, env: []string{"VERIFY_KEY"}, help: "a public key in a file: in PEM, or of PGP"},
			{long: "legacy-insecure", value: &legacy, help: "without effect", differs: "signatures of before 2020 cover no descriptors and are not accepted"},
			{long: "local", short: "l", value: &local, env: []string{"LOCAL_VERIFY"}, help: "without effect, because no key server is asked"},
			{long: "ocsp-verify", value: &noSwitch, env: []string{"VERIFY_OCSP"}, absent: noChains},
			{long: "sif-id", short: "i", value: &noText, absent: "all parts are read"},
			{long: "url", short: "u", value: &noText, env: []string{"URL"}, absent: "no key server is asked"},
		},
		run: func(ctx context.Context, args []string) error {
			e, err := p.c.Engine()
			if err != nil {
				return err
			}
			parts, err := e.Parts(ctx, args[0], true)
			if err != nil {
				return err
			}
			signatures, err := p.signatures(ctx, e, args[0], key)
			if asJSON {
				if err := p.printJSON(struct {
					engine.Parts
					Signatures []engine.Signature `json:"signatures"` // that are right
				}{parts, signatures}); err != nil {
					return err
				}
			}
			if err != nil {
				return fmt.Errorf("Failed to verify container: %w", err)
			}
			if !asJSON {
				if err := p.print(verified(parts, signatures)); err != nil {
					return err
				}
			}
			p.info("Verified signature(s) from image '%s'", args[0])
			return nil
		},
	}
}

// errUnsigned has the words of Apptainer, which scripts look for.
var errUnsigned = errors.New("integrity: signature not found for object group 1")

// signatures are those of an image that were made with a key: that of a file, or one of the keyring.
func (p *program) signatures(ctx context.Context, e *engine.Engine, image, key string) ([]engine.Signature, error) {
	said, err := e.Signatures(ctx, image)
	if err != nil {
		return nil, err
	}
	if len(said) == 0 {
		return nil, &hintError{errUnsigned, "it is not signed; whether it is as it was made, by the digests that it carries: carrel verify " + image}
	}
	files := []string{key}
	if key == "" {
		files = p.keyrings()
	}
	err = &hintError{fmt.Errorf("%w: there is no keyring", engine.ErrOtherKey), "give the signer's public key: --key FILE"}
	for _, file := range files {
		var good []engine.Signature
		if good, err = e.VerifySigned(ctx, image, file); err == nil || !errors.Is(err, engine.ErrOtherKey) {
			return good, err
		}
	}
	return nil, err
}

// keyrings are the files in which Apptainer and Singularity keep public keys, those that there are.
func (p *program) keyrings() []string {
	var dirs, out []string
	for _, name := range []string{"APPTAINER_KEYSDIR", "SINGULARITY_KEYSDIR", "SINGULARITY_SYPGPDIR"} {
		if dir, ok := p.lookup(name); ok && dir != "" {
			dirs = append(dirs, absolute(dir, p.c.User.Cwd))
		}
	}
	for _, dir := range []string{".apptainer/keys", ".singularity/keys", ".singularity/sypgp"} {
		dirs = append(dirs, filepath.Join(p.c.User.Home, dir))
	}
	for _, dir := range dirs {
		file := filepath.Join(dir, "pgp-public")
		if st, err := os.Stat(file); err == nil && st.Size() > 0 {
			out = append(out, file)
		}
	}
	return out
}

// verified is Apptainer's report.
func verified(parts engine.Parts, signatures []engine.Signature) string {
	var b strings.Builder
	for _, s := range signatures {
		if s.Form == "PGP" {
			fmt.Fprintf(&b, "[LOCAL]   Signing entity: %s\n[LOCAL]   Fingerprint: %s\n", printable(s.Key), s.Signer)
		}
		b.WriteString("Objects verified:\nID  |GROUP   |LINK    |TYPE\n------------------------------------------------\n")
		for _, part := range parts.Parts {
			if slices.Contains(s.Objects, part.ID) {
				kind, _, _ := strings.Cut(part.Type, " (")
				fmt.Fprintf(&b, "%-4d|%-8d|%-8s|%s\n", part.ID, part.Group, part.Link, kind)
			}
		}
	}
	return b.String()
}

// cacheTypes are Apptainer's kinds of things in a cache, and which of Carrel's they are.
var cacheTypes = map[string][]string{
	"oci": {engine.CacheOCI}, "blob": {engine.CacheOCI}, "blobs": {engine.CacheOCI}, "oci-tmp": {engine.CacheBases}, "net": {engine.CacheDownloads},
	"library": {}, "shub": {}, "oras": {}, "all": {engine.CacheBases, engine.CacheLayers, engine.CacheFailed, engine.CacheDownloads, engine.CacheOCI, engine.CacheDebian, engine.CacheHot},
}

func cacheKinds(types []string) ([]string, error) {
	if len(types) == 0 {
		types = []string{"all"}
	}
	var out []string
	for _, t := range types {
		kinds, ok := cacheTypes[t]
		if !ok {
			kinds = []string{t}
			if !slices.Contains(cacheTypes["all"], t) {
				return nil, usage("the types are oci, blob, net, all, and Carrel's own "+strings.Join(cacheTypes["all"], ", "), "type %q is not known", t)
			}
		}
		out = append(out, kinds...)
	}
	return out, nil
}

func (p *program) cacheListVerb() verb {
	var types []string
	verbose := false
	return verb{
		name: "list", args: "[OPTION …]", short: "Tell what the cache holds", interspersed: true, differs: "the kinds are those of Carrel's cache, which is in ~/.cache/carrel",
		options: []option{
			{long: "type", short: "T", value: &types, help: "kinds to list"},
			{long: "verbose", short: "v", value: &verbose, help: "every item"},
		},
		run: func(ctx context.Context, _ []string) error {
			kinds, err := cacheKinds(types)
			if err != nil {
				return err
			}
			e, err := p.c.Engine()
			if err != nil {
				return err
			}
			uses, err := e.Cache(ctx)
			if err != nil {
				return err
			}
			var b strings.Builder
			var total int64
			for _, u := range uses {
				if !slices.Contains(kinds, u.Kind) {
					continue
				}
				total += u.Size
				fmt.Fprintf(&b, "%-10s %5d  %s\n", u.Kind, len(u.Items), size(u.Size))
				for _, it := range u.Items {
					if verbose {
						fmt.Fprintf(&b, "  %s  %s  %s\n", it.Used.Format("2006-01-02 15:04:05"), size(it.Size), printable(it.Name))
					}
				}
			}
			return p.print(b.String() + "Total space used: " + size(total) + "\n")
		},
	}
}

func (p *program) cacheCleanVerb() verb {
	var types []string
	dry, force, days := false, false, 0
	return verb{
		name: "clean", args: "[OPTION …]", short: "Empty the cache", interspersed: true,
		options: []option{
			{long: "days", short: "D", value: &days, help: "only what was not used for so many days"},
			{long: "dry-run", short: "n", value: &dry, help: "only tell what would be freed"},
			{long: "force", short: "f", value: &force, help: "without effect", differs: "it never asks: what is freed can be made again, and what a build uses stays"},
			{long: "type", short: "T", value: &types, help: "kinds to free"},
		},
		run: func(ctx context.Context, _ []string) error {
			kinds, err := cacheKinds(types)
			if err != nil {
				return err
			}
			if days < 0 {
				return usage("write --days NUMBER", "--days %d is no number of days", days)
			}
			e, err := p.c.Engine()
			if err != nil {
				return err
			}
			if dry {
				uses, err := e.Cache(ctx)
				if err != nil {
					return err
				}
				since := time.Now().AddDate(0, 0, -days)
				for _, u := range uses {
					n, sum := 0, int64(0)
					for _, it := range u.Items {
						if days == 0 || it.Used.Before(since) {
							n++
							sum += it.Size
						}
					}
					if slices.Contains(kinds, u.Kind) && n > 0 {
						p.info("Would free %s: %d items, %s", u.Kind, n, size(sum))
					}
				}
				return nil
			}
			if len(kinds) == 0 {
				return nil // kinds of which nothing is ever kept
			}
			freed, err := e.PruneBy(ctx, engine.PruneSpec{Kinds: kinds, Unused: time.Duration(days) * 24 * time.Hour})
			if err != nil {
				return err
			}
			p.info("Freed %s (%d items)", size(freed.Size), freed.Items)
			return nil
		},
	}
}

func (p *program) overlayCreateVerb() verb {
	var dirs []string
	amount, sparse, fakeroot, temp := 64, false, false, ""
	return verb{
		name: "create", args: "[OPTION …] FILE", short: "Make an ext3 file that keeps changes (--overlay FILE), or a partition for them in a SIF", low: 1, high: 1, interspersed: true,
		differs: "needs no mkfs.ext3; with a name that ends in /, or of a folder, it makes a folder, which needs no size and is quicker; a SIF needs none, because --writable keeps changes in it anyway",
		options: []option{
			{long: "create-dir", value: &dirs, help: "folders to make in it"},
			{long: "fakeroot", short: "f", value: &fakeroot, env: []string{"FAKEROOT"}, help: "without effect, because it works with and without --fakeroot"},
			{long: "size", short: "s", value: &amount, help: "size in MiB"},
			{long: "sparse", short: "S", value: &sparse, env: []string{"SPARSE"}, help: "without effect", differs: "what is empty takes no space in any case"},
			{long: "tmpdir", value: &temp, env: []string{"TMPDIR"}, help: "without effect", differs: noTemp, hidden: true},
		},
		run: func(ctx context.Context, args []string) error {
			name := absolute(args[0], p.c.User.Cwd)
			if st, err := os.Stat(name); strings.HasSuffix(args[0], "/") || err == nil && st.IsDir() {
				return p.overlayFolder(args[0], name, dirs)
			}
			if amount < 64 {
				return usage("write --size with the number of MiB", "overlay %s: the size has to be 64 MiB at least", args[0])
			}
			e, err := p.c.Engine()
			if err != nil {
				return err
			}
			if err := e.CreateOverlay(ctx, engine.OverlaySpec{Path: name, Size: int64(amount) << 20, Folders: dirs}); err != nil {
				return err
			}
			p.info("Created %s", args[0])
			return nil
		},
	}
}

// overlayFolder makes a folder that keeps changes.
func (p *program) overlayFolder(shown, dir string, dirs []string) error {
	made := []string{"upper", "work"}
	for _, d := range dirs {
		made = append(made, filepath.Join("upper", filepath.Clean("/"+d)))
	}
	for _, d := range made {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return fmt.Errorf("overlay: %w", err)
		}
	}
	p.info("Created %s; use it: --overlay %s", shown, shown)
	return nil
}
