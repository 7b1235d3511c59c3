package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"carrel/engine"
)

func (a *app) verifyCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "verify [OPTION …] IMAGE", Short: "Compare an image with the digests and signatures that it carries", GroupID: groupImages,
		Long: `Tells whether a SIF image is as it was made, or was cut short, damaged or altered
since. The file is read as a whole.

Images that Carrel makes carry a digest of each of their parts; SIF itself knows none, so
those of other programs carry digests only where somebody signed them. Parts that nothing
vouches for are named. Of signatures it is compared what was signed: contents,
descriptions, and the head of the file. That is no proof of origin: whoever alters an
image can alter its digests, and sign it anew.

With --key it is told whether all of it was signed with that key (apptainer sign), and
nothing was added since. The key is a public one, in a file: in PEM, or of PGP (gpg
--export --armor NAME; ~/.apptainer/keys/pgp-public). JSON then lists the signatures.`,
		Example: "  carrel verify image.sif\n  carrel verify --key lab.pem image.sif",
		Args:    exactly(1, "IMAGE"),
	}
	key := ""
	c.Flags().StringVar(&key, "key", "", "a public key in a `FILE`, by which the image has to be signed")
	c.Flags().BoolVar(&a.json, "json", false, "print the parts as JSON")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		e, err := a.engine()
		if err != nil {
			return err
		}
		parts, err := e.Parts(cmd.Context(), args[0], true)
		if err != nil {
			return err
		}
		if key != "" {
			signatures, err := e.VerifySigned(cmd.Context(), args[0], key)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(signatures)
			}
			for _, s := range signatures {
				a.tellSignature(s)
			}
			return nil
		}
		if a.json {
			if err := a.printJSON(parts); err != nil {
				return err
			}
		}
		return a.verified(args[0], parts)
	}
	return c
}

// verified says what was checked of an image in which nothing was found altered, and what could not be.
func (a *app) verified(image string, parts engine.Parts) error {
	var unchecked, later [][]string
	content := 0
	for _, p := range parts.Parts {
		if p.IsSignature() {
			continue
		}
		content++
		row := []string{"  part " + fmt.Sprint(p.ID), clean(p.Type), clean(p.Name), bytes(p.Size)}
		if p.Checked == "" {
			unchecked = append(unchecked, row)
		} else if p.Unsigned {
			later = append(later, row)
		}
	}
	if content == len(unchecked) {
		return hinted(fmt.Errorf("verify %s: it carries neither a signature nor digests, so nothing can be compared", image), "images that Carrel builds carry digests; compare the file with one that you trust: sha256sum")
	}
	if a.json {
		return nil
	}
	if len(unchecked) == 0 {
		a.say("%s is as it was made: %d of %d parts match their digests", image, content, content)
	} else {
		a.say("%s: %d of %d parts match their digests; nothing vouches for", image, content-len(unchecked), content)
		if err := a.print(a.page.columns(unchecked, nil)); err != nil {
			return err
		}
	}
	if len(later) > 0 {
		a.say("not among what was signed:")
		if err := a.print(a.page.columns(later, nil)); err != nil {
			return err
		}
	}
	switch signers := parts.Signers(); {
	case len(signers) > 0:
		a.say("signed with the key of the fingerprint %s; whose that is was not examined: carrel verify --key FILE", strings.Join(signers, ", "))
	case parts.Signed:
		a.say("signed; by whom was not examined: carrel verify --key FILE")
	}
	return nil
}

// tellSignature says by whom an image was signed.
func (a *app) tellSignature(s engine.Signature) {
	ids := make([]string, 0, len(s.Objects))
	for _, id := range s.Objects {
		ids = append(ids, fmt.Sprint(id))
	}
	by := clean(s.Key)
	if s.Signer != "" {
		by += ", key " + s.Signer
	}
	a.say("signed by %s, and unchanged since: parts %s", by, strings.Join(ids, ", "))
}
