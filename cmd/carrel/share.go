package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"carrel/engine"
	"carrel/tui/theme"
	"carrel/tui/widget"
)

func (a *app) shareCommand() *cobra.Command {
	var spec engine.ShareSpec
	var address string
	var port uint16
	once := false
	c := &cobra.Command{
		Use: "share IMAGE", Short: "Send an image to somebody in the same network, by a link", GroupID: groupImages,
		Long: `Carrel serves this one file, and a page that says how it is run, at a link with a
random word in it: whoever has the link can download it until you press Ctrl+C.
The bytes are not encrypted on their way; the checksum tells that they arrived whole.

Other ways to hand an image on: send the file itself, send its definition
(carrel inspect --deffile), or push it to a registry (carrel push).`,
		Example: "  carrel share jupyter.sif\n  carrel share --once --for 10m nginx-basic",
		Args:    exactly(1, "IMAGE"),
	}
	f := c.Flags()
	f.DurationVar(&spec.For, "for", time.Hour, "how long; 0 for as long as it runs, as `TIME` such as 10m")
	f.BoolVar(&once, "once", false, "only for one download")
	f.StringVar(&address, "address", "", "`ADDRESS` of this computer to serve at, where it has several")
	f.Uint16Var(&port, "port", 0, "`PORT` to serve at; a free one otherwise")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "print nothing but the link")
	f.BoolVar(&a.json, "json", false, "print link, size and checksum as JSON")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		spec.Image, spec.Port = args[0], port
		if once {
			spec.Times = 1
		}
		if address != "" {
			ip, err := netip.ParseAddr(address)
			if err != nil {
				return usage("write an IP address of this computer, such as 192.168.1.7", "address %q", address)
			}
			spec.Address = ip
		}
		if spec.For < 0 {
			return usage("write --for 10m", "time %s", spec.For)
		}
		return a.share(cmd.Context(), spec)
	}
	return c
}

func (a *app) share(ctx context.Context, spec engine.ShareSpec) error {
	e, err := a.engine()
	if err != nil {
		return err
	}
	var mu sync.Mutex
	spec.Event = func(ev engine.ShareEvent) {
		mu.Lock()
		defer mu.Unlock()
		switch ev.Kind {
		case engine.ShareBegun:
			a.say("%s downloads it", ev.From)
		case engine.ShareTaken:
			a.say("%s has all of it", ev.From)
		case engine.ShareLeft:
			a.say("%s went away after %s of %s", ev.From, bytes(ev.Done), bytes(ev.Size))
		}
	}
	h, err := e.Share(ctx, spec)
	if err != nil {
		return shareHint(err)
	}
	defer h.Close()
	if a.json {
		err = a.printJSON(struct {
			URL    string    `json:"url"`
			Page   string    `json:"page"`
			Name   string    `json:"name"`
			Size   int64     `json:"size"`
			SHA256 string    `json:"sha256"`
			Until  time.Time `json:"until,omitzero"`
		}{h.URL, h.Page, h.Name, h.Size, h.SHA256, h.Until()})
	} else {
		err = a.print(h.Page + "\n")
	}
	if err != nil {
		return err
	}
	if !a.quiet && !a.json && a.screen.is {
		if code := widget.QRCode(h.Page, theme.Options{NoColor: !a.screen.color, ASCII: a.screen.ascii}); code != "" {
			fmt.Fprint(a.err, "\n"+code+"\n")
		}
	}
	a.say("%s, %s", clean(h.Name), bytes(h.Size))
	a.say("sha256 %s", h.SHA256)
	until := ""
	if !h.Until().IsZero() {
		until = ", or " + h.Until().Local().Format("15:04")
	}
	a.say("open the link on the other computer, or there: carrel pull %s", clean(h.URL))
	a.say("shared until Ctrl+C%s", until)
	restore := a.interrupt.to(func(sig syscall.Signal) bool {
		h.Close()
		return true
	})
	defer restore()
	select {
	case <-h.Done():
	case <-ctx.Done():
	}
	if err := h.Err(); err != nil {
		return err
	}
	a.say("no longer shared; downloads: %d", h.Taken())
	return nil
}

// shareHint adds what to do to errors of the network.
func shareHint(err error) error {
	switch {
	case engine.Hint(err) != "":
		return err
	case errors.Is(err, syscall.EADDRINUSE):
		return hinted(err, "leave out --port, and a free one is used")
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return hinted(err, "leave out --address, or write one that this computer has: ip address")
	case errors.Is(err, engine.ErrNoNetwork):
		return hinted(err, "connect it to the network, or hand the file over on a memory stick")
	}
	return err
}
