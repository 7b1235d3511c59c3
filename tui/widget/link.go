package widget

import (
	"net/url"
	"path/filepath"
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"carrel/internal/pattern"
)

// Links are drawn as terminals know them (OSC 8; https://gist.github.com/egmontkob/eb114294efbcd5adb1944c9f3cb5feda): what is
// shown may be cut or go on in the next line, and is still one link to the whole address. Theme.Finish takes them out for
// terminals that do not know them.

// Link draws text that leads to an address, in a style. An address with other characters than those of an address makes no link.
func Link(style lipgloss.Style, to, text string) string {
	if to = safeLink(to); to == "" {
		return style.Render(text)
	}
	return style.Hyperlink(to, linkID(to)).Render(text)
}

// LinkRows draws an address itself in as many lines of w cells as it takes: one link.
func LinkRows(style lipgloss.Style, to string, w int) []string {
	to = Clean(to)
	if w <= 0 || to == "" {
		return nil
	}
	rows := strings.Split(ansi.Hardwrap(to, w, true), "\n")
	for i := range rows {
		rows[i] = Link(style, to, rows[i])
	}
	return rows
}

// PathLink draws the path of a file or folder in at most w cells, with ~ for the home folder, as a link to it.
func PathLink(style lipgloss.Style, path, home string, w int) string {
	return Link(style, FileURI(path), CutMiddle(Clean(Tilde(path, home)), w))
}

// FileURI is the address of a file on this computer (RFC 8089); empty for a path that is not absolute.
func FileURI(path string) string {
	if !filepath.IsAbs(path) {
		return ""
	}
	return (&url.URL{Scheme: "file", Path: path}).String()
}

// PathOf is the path that FileURI made an address of; false for other addresses.
func PathOf(to string) (string, bool) {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "file" {
		return "", false
	}
	return u.Path, true
}

// safeLink is an address that can stand in an escape sequence: printable ASCII; empty for others.
func safeLink(to string) string {
	for i := range len(to) {
		if to[i] <= 0x20 || to[i] >= 0x7f {
			return ""
		}
	}
	return to
}

// linkID is the same for all parts of one link, so that the terminal marks them together.
func linkID(to string) string {
	n := uint32(2166136261)
	for i := range len(to) {
		n = (n ^ uint32(to[i])) * 16777619
	}
	const digits = "0123456789abcdef"
	var id [8]byte
	for i := range id {
		id[i] = digits[n>>(4*i)&15]
	}
	return "id=" + string(id[:])
}

// addresses are what is a link wherever it stands in a text: pages, and the identifiers of publications.
var addresses = pattern.New(`https?://[^\s"'<>…│]*[^\s"'<>…│.,;:!?)\]}]|\bdoi:10\.\d{4,}/[^\s"'<>…│]*[^\s"'<>…│.,;:!?)\]}]`)

// linked makes links of the addresses in a plain text that was broken into rows; each row must be a part of it.
func linked(text string, rows []string) []string {
	if !strings.Contains(text, "://") && !strings.Contains(text, "doi:10.") || strings.IndexByte(text, 0x1b) >= 0 {
		return rows
	}
	spans := addresses.FindAllStringSubmatchIndex(text, -1)
	if spans == nil {
		return rows
	}
	out := make([]string, len(rows))
	at := 0
	for i, row := range rows {
		out[i] = row
		n := strings.Index(text[at:], row)
		if row == "" || n < 0 {
			continue
		}
		from := at + n
		at = from + len(row)
		for j := len(spans) - 1; j >= 0; j-- {
			a, b := max(spans[j][0], from), min(spans[j][1], at)
			if a >= b {
				continue
			}
			to := text[spans[j][0]:spans[j][1]]
			if doi, ok := strings.CutPrefix(to, "doi:"); ok {
				to = "https://doi.org/" + doi
			}
			if to = safeLink(to); to != "" {
				s := out[i]
				out[i] = s[:a-from] + ansi.SetHyperlink(to, linkID(to)) + s[a-from:b-from] + ansi.ResetHyperlink() + s[b-from:]
			}
		}
	}
	return out
}

// Links are the addresses that a drawn frame leads to, each once, in the order in which they stand there.
func Links(frame string) []string {
	var out []string
	seen := map[string]bool{}
	for rest := frame; ; {
		_, after, ok := strings.Cut(rest, linkStart)
		if !ok {
			return out
		}
		var to string
		if to, rest = target(after); to != "" && !seen[to] {
			seen[to] = true
			out = append(out, to)
		}
	}
}

// LinkAt is where the cell x of a drawn line leads to; empty for nowhere.
func LinkAt(line string, x int) string {
	to, col := "", 0
	for rest := line; ; {
		before, after, ok := strings.Cut(rest, linkStart)
		if col += Width(before); col > x || !ok {
			if col <= x {
				return ""
			}
			return to
		}
		to, rest = target(after)
	}
}

const linkStart = "\x1b]8;"

// target reads the rest of a sequence that begins or ends a link: its address, and what comes behind it.
func target(s string) (to, rest string) {
	end := strings.IndexAny(s, "\x07\x1b")
	if end < 0 {
		return "", ""
	}
	_, to, _ = strings.Cut(s[:end], ";")
	rest = s[end+1:]
	if s[end] == 0x1b { // ST is two bytes
		rest = strings.TrimPrefix(rest, "\\")
	}
	return to, rest
}
