package definition

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// DefaultMaxSize is the size in bytes up to which a definition file is read unless Options say otherwise.
const DefaultMaxSize = 16 << 20

// apptainerSection is the size in bytes at which Apptainer's parser gives a section up (bufio.MaxScanTokenSize).
const apptainerSection = 64 << 10

// stagePattern begins a stage, wherever it stands: in a section and in a here-document too.
var stagePattern = lazy(`(?mi)^bootstrap:`)

// Options say how to read a definition file.
type Options struct {
	// Name is the file's name for messages.
	Name string
	// BuildArgs are values of templates; they win over %arguments.
	BuildArgs map[string]string
	// AllowUndefined leaves templates without a value as they are and lists them in File.Undefined.
	AllowUndefined bool
	// MaxSize limits the size in bytes; 0 is DefaultMaxSize.
	MaxSize int64
}

// Parse reads a definition file. What cannot be read is an *Error or, when there are several, Errors; templates without
// a value are an *UndefinedError; a text without any stage is an *Error that is ErrEmpty; one over the limit wraps
// ErrTooLarge. Read errors are wrapped.
func Parse(r io.Reader, opts Options) (*File, error) {
	text, err := read(r, opts)
	if err != nil {
		return nil, err
	}
	file, errs := parse(text, opts)
	switch {
	case len(errs) == 1:
		return nil, errs[0]
	case len(errs) > 1:
		return nil, Errors(errs)
	case len(file.Undefined) > 0 && !opts.AllowUndefined:
		return nil, &UndefinedError{File: opts.Name, Names: file.Undefined}
	}
	return file, nil
}

// ParseString is Parse of a text at hand.
func ParseString(text string, opts Options) (*File, error) {
	return Parse(strings.NewReader(text), opts)
}

func read(r io.Reader, opts Options) (string, error) {
	limit := opts.MaxSize
	if limit <= 0 {
		limit = DefaultMaxSize
	}
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", cmp.Or(opts.Name, "definition"), err)
	}
	if int64(len(data)) > limit {
		return "", fmt.Errorf("read %s: %w: over %d bytes", cmp.Or(opts.Name, "definition"), ErrTooLarge, limit)
	}
	return string(data), nil
}

// parse reads the text as far as it can be read. The file is never nil; it has no stages when there is nothing in it.
func parse(text string, opts Options) (*File, []*Error) {
	p := &parser{file: &File{Name: opts.Name, Source: text}}
	if rest, ok := strings.CutPrefix(text, "\ufeff"); ok {
		text = rest
		p.find(Finding{Rule: "bom", Severity: Warning, Line: 1, Column: 1,
			Message: "the file begins with a byte order mark, which Apptainer refuses", Fix: "save the file as UTF-8 without a byte order mark"})
	}
	if i := strings.IndexByte(text, 0); i >= 0 {
		p.find(Finding{Rule: "nul", Severity: Warning, Line: 1 + strings.Count(text[:i], "\n"), Column: i - strings.LastIndexByte(text[:i], '\n'),
			Message: "there is a zero byte in the text, which a shell drops", Fix: "remove it"})
	}

	used := map[string]bool{}
	var raw strings.Builder
	var openDocs []heredoc
	line := 1
	for i, chunk := range chunks(text) {
		defaults := defaultsOf(chunk)
		filled := fill(chunk, line, values{build: opts.BuildArgs, defaults: defaults, used: used})
		raw.WriteString(filled.text)
		for _, f := range filled.findings {
			p.find(f)
		}
		s := &stageParser{parser: p, stage: &Stage{Line: line, Raw: filled.text, Sections: map[string]*Section{}}, first: i == 0}
		for _, doc := range openDocs {
			if hasLine(chunk, doc.ends) {
				s.inDoc = doc.line
			}
		}
		s.parse(filled.text, filled.lines)
		openDocs = s.docs.open
		for _, u := range filled.undefined {
			u.Stage = s.stage.Name
			p.file.Undefined = append(p.file.Undefined, u)
		}
		if !s.isEmpty() {
			p.file.Stages = append(p.file.Stages, s.stage)
		}
		line += strings.Count(chunk, "\n")
	}
	p.file.Raw = raw.String()
	p.mergeLeadingHeader()
	for _, name := range slices.Sorted(maps.Keys(opts.BuildArgs)) {
		if !used[name] {
			p.file.UnusedArgs = append(p.file.UnusedArgs, name)
		}
	}
	if len(p.file.Stages) == 0 && len(p.errs) == 0 {
		p.fail(&Error{Rule: "empty", Msg: ErrEmpty.Error(), err: ErrEmpty,
			hint: "a definition file begins with a header such as \"Bootstrap: docker\" and \"From: debian:12\""})
	}
	slices.SortStableFunc(p.file.Warnings, func(a, b Finding) int { return cmp.Compare(a.Line, b.Line) })
	slices.SortStableFunc(p.errs, func(a, b *Error) int { return cmp.Compare(a.Line, b.Line) })
	return p.file, p.errs
}

// chunks cuts a text into its stages; what stands above the first "Bootstrap:" is a chunk of its own.
func chunks(text string) []string {
	var all []string
	start := 0
	for _, m := range stagePattern().FindAllStringIndex(text, -1) {
		if m[0] > start {
			all = append(all, text[start:m[0]])
		}
		start = m[0]
	}
	return append(all, text[start:])
}

// defaultsOf are the %arguments of a stage's text before templates are filled in.
func defaultsOf(chunk string) map[string]string {
	if !strings.Contains(strings.ToLower(chunk), "arguments") {
		return nil
	}
	s := &stageParser{parser: &parser{file: &File{}}, stage: &Stage{Sections: map[string]*Section{}}}
	s.parse(chunk, nil)
	defaults := make(map[string]string, len(s.stage.Arguments))
	for _, a := range s.stage.Arguments {
		defaults[a.Name] = a.Default
	}
	return defaults
}

// hasLine tells whether a line of the text, without its end, fulfils a condition.
func hasLine(text string, is func(string) bool) bool {
	for l := range strings.Lines(text) {
		if is(trimEOL(l)) {
			return true
		}
	}
	return false
}

func trimEOL(line string) string {
	return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
}

// parser collects what is found in one file.
type parser struct {
	file *File
	errs []*Error
}

func (p *parser) find(f Finding) { p.file.Warnings = append(p.file.Warnings, f) }

func (p *parser) fail(e *Error) {
	e.File = p.file.Name
	p.errs = append(p.errs, e)
}

// mergeLeadingHeader joins keys above the first "Bootstrap:" with the stage they were meant for. Apptainer makes a stage
// without Bootstrap of them, which no build can use.
func (p *parser) mergeLeadingHeader() {
	if len(p.file.Stages) < 2 {
		return
	}
	lead, main := p.file.Stages[0], p.file.Stages[1]
	if _, ok := lead.Header.Lookup("bootstrap"); ok || len(lead.Header) == 0 || len(lead.Sections) > 0 || len(lead.Apps) > 0 {
		return
	}
	for _, f := range lead.Header {
		if _, ok := main.Header.Lookup(f.Key); !ok {
			main.Header = append(main.Header, f)
		}
	}
	main.Name = main.Header.Get("stage")
	main.Raw = lead.Raw + main.Raw
	p.file.Stages = p.file.Stages[1:]
	p.find(Finding{Rule: "header-order", Severity: Warning, Line: lead.Header[0].Line, Column: 1, Section: "header",
		Message: lead.Header[0].Key + ": stands above Bootstrap:, which Apptainer takes for a stage of its own and cannot build",
		Fix:     fmt.Sprintf("move Bootstrap: up to line %d", lead.Header[0].Line)})
}

// stageParser reads the text of one stage.
type stageParser struct {
	*parser
	stage *Stage
	first bool // the first chunk of the file
	inDoc int  // the line of the here-document whose text the "Bootstrap:" seems to be, or 0

	docs  heredocs // of the section being read
	ends  docEnd   // of the one asked for last
	texts []string // the lines, without their ends
	lines []int    // where they stand in the file

	// Where things are that are asked for by name; a file may have a hundred thousand of each.
	keys  map[string]int // header key, lower case → index
	apps  map[string]*App
	place map[string]map[string]int // app → label → index
	args  map[string]int
}

// docEnd is the line (an index of texts) a here-document ends at, -1 for none.
type docEnd struct {
	doc heredoc
	at  int
}

func (s *stageParser) isEmpty() bool {
	if len(s.stage.Header) > 0 || len(s.stage.Apps) > 0 || len(s.stage.Files) > 0 {
		return false
	}
	for name, sec := range s.stage.Sections {
		if name == "labels" && len(s.stage.Labels) == 0 {
			continue // comments only
		}
		if !sec.IsEmpty() {
			return false
		}
	}
	return true
}

// parse reads the text; lines are its lines' places in the file, nil for 1, 2, 3 ….
func (s *stageParser) parse(text string, lines []int) {
	for l := range strings.Lines(text) {
		s.texts = append(s.texts, trimEOL(l))
	}
	s.keys = map[string]int{}
	s.apps, s.place, s.args = map[string]*App{}, map[string]map[string]int{}, map[string]int{}
	s.lines = lines
	if s.lines == nil {
		s.lines = make([]int, len(s.texts))
		for i := range s.lines {
			s.lines[i] = i + 1
		}
	}

	i := 0
	for i < len(s.texts) && !isSectionLine(s.texts[i]) {
		i++
	}
	s.header(s.texts[:i])
	var cur *section
	for ; i < len(s.texts); i++ {
		if isSectionLine(s.texts[i]) {
			if next := s.sectionLine(i, cur); next != nil {
				s.finish(cur)
				cur, s.docs = next, heredocs{}
				continue
			}
		}
		if cur != nil {
			cur.add(s.texts[i], s.lines[i])
			if cur.isScript() {
				s.docs.next(s.texts[i], s.lines[i])
			}
		}
	}
	s.finish(cur)
	for _, sec := range s.stage.Sections {
		sec.join()
	}
	for _, app := range s.stage.Apps {
		for _, sec := range app.Sections {
			sec.join()
		}
	}
	s.stage.Name = s.stage.Header.Get("stage")
}

// isSectionLine tells whether a line begins a section: its first word begins with %.
func isSectionLine(text string) bool {
	return strings.HasPrefix(strings.TrimLeftFunc(text, unicode.IsSpace), "%")
}

// section is a section while it is read.
type section struct {
	name string // lower case, without %
	app  string
	args string
	line int
	text strings.Builder
	at   []int
	bad  bool // its name was refused; the text belongs nowhere
}

func (c *section) add(text string, line int) {
	c.text.WriteString(text)
	c.text.WriteByte('\n')
	c.at = append(c.at, line)
}

func (c *section) isScript() bool {
	switch c.name {
	case "files", "labels", "help", "arguments", "appfiles", "applabels", "apphelp":
		return false
	}
	return true
}
