package plain

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"carrel/engine"
	"carrel/tui/widget"
)

// What a person may answer everywhere.
var (
	errBack  = errors.New("back")
	errLeave = errors.New("leave")
	errEnded = fmt.Errorf("the input ended: %w", errLeave) // without an answer
)

// UnansweredError is a question that nobody answered: the input ended before.
type UnansweredError struct{ Question string }

func (e *UnansweredError) Error() string {
	return "the input ended before this was answered: " + e.Question
}

// Hint says what to do.
func (e *UnansweredError) Hint() string {
	return "Give one line for each question, and “leave” as the last; an empty line takes what stands in brackets."
}

// talk asks and tells.
type talk struct {
	ctx   context.Context
	lines chan string // closed when there is no more input
	out   io.Writer
	asked string // last, without the answers to choose from
	lost  error  // of writing
}

// listen hands on the lines of a reader. The goroutine ends with the reader: of a terminal that is when the program does.
func listen(ctx context.Context, in io.Reader) chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		s := bufio.NewScanner(in)
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			select {
			case lines <- strings.TrimSpace(widget.Clean(s.Text())):
			case <-ctx.Done():
				return
			}
		}
	}()
	return lines
}

// say tells one sentence or more, each paragraph on a line of its own: screen readers break lines themselves.
func (t *talk) say(format string, args ...any) {
	if t.lost == nil {
		_, t.lost = fmt.Fprintf(t.out, format+"\n", args...)
	}
}

// failed tells of an error: what did not work, why, and what to do.
func (t *talk) failed(what string, err error) {
	t.say("%s did not work: %s", what, widget.Sentence(widget.Clean(err.Error())))
	if hint := engine.Hint(err); hint != "" {
		t.say("What to do: %s", widget.Sentence(widget.Clean(hint)))
	}
}

// line waits for an answer.
func (t *talk) line() (string, error) {
	if t.lost != nil {
		return "", t.lost
	}
	select {
	case s, ok := <-t.lines:
		return word(s, ok)
	case <-t.ctx.Done():
		return "", errLeave
	}
}

// word finds the answers that are understood everywhere.
func word(s string, ok bool) (string, error) {
	switch strings.ToLower(s) {
	case "back", "..":
		return "", errBack
	case "leave", "quit", "exit":
		return "", errLeave
	}
	if !ok {
		return "", errEnded
	}
	return s, nil
}

// which is what is asked for one of several answers.
const which = "Which number?"

// text asks for words. def is taken for an empty answer; check says what is wrong with one, empty when nothing is.
func (t *talk) text(question, def string, check func(string) string) (string, error) {
	if question != which {
		t.asked = question
	}
	for {
		if def != "" {
			t.say("%s [%s]", question, def)
		} else {
			t.say("%s", question)
		}
		s, err := t.line()
		if err != nil {
			return "", err
		}
		if s == "" {
			s = def
		}
		if check == nil {
			return s, nil
		}
		why := check(s)
		if why == "" {
			return s, nil
		}
		t.say("%s", why)
	}
}

// yes asks a question that is answered with yes or no.
func (t *talk) yes(question string, def bool) (bool, error) {
	word := "no"
	if def {
		word = "yes"
	}
	s, err := t.text(question+" Yes or no?", word, func(s string) string {
		if s = strings.ToLower(s); s == "" || !strings.HasPrefix("yes", s) && !strings.HasPrefix("no", s) {
			return "Answer yes or no."
		}
		return ""
	})
	return err == nil && strings.HasPrefix("yes", strings.ToLower(s)), err
}

// option is one of several answers.
type option struct {
	name string // what is said
	note string // what explains it
	do   func() error
}

// choose asks for one of several, by its number or the beginning of its name; def is taken for an empty answer, -1: none is.
func (t *talk) choose(question string, options []option, def int) (int, error) {
	t.say("%s", question)
	t.asked = question
	for i, o := range options {
		if o.note != "" {
			t.say("%d. %s: %s", i+1, o.name, o.note)
		} else {
			t.say("%d. %s", i+1, o.name)
		}
	}
	word := ""
	if def >= 0 {
		word = strconv.Itoa(def + 1)
	}
	found := -1
	_, err := t.text(which, word, func(s string) string {
		if n, err := strconv.Atoi(s); err == nil && n >= 1 && n <= len(options) {
			found = n - 1
			return ""
		}
		found = -1
		for i, o := range options {
			if s != "" && strings.HasPrefix(strings.ToLower(o.name), strings.ToLower(s)) {
				if found >= 0 {
					return "Several begin like that. Answer with a number."
				}
				found = i
			}
		}
		for i, o := range options { // a word of its name does too, when it is no other's
			if found < 0 && s != "" && strings.Contains(strings.ToLower(o.name), strings.ToLower(s)) && others(options, i, s) == 0 {
				found = i
			}
		}
		if found < 0 {
			return fmt.Sprintf("Answer with a number from 1 to %d, or with the beginning of a name; back goes back, leave ends Carrel.", len(options))
		}
		return ""
	})
	return found, err
}

// others counts the options besides one whose names hold a text.
func others(options []option, one int, s string) (n int) {
	for i, o := range options {
		if i != one && strings.Contains(strings.ToLower(o.name), strings.ToLower(s)) {
			n++
		}
	}
	return n
}

// menu asks what to do, and does it, until the person goes back. Going back in what is done comes here again.
func (t *talk) menu(question func() (string, []option)) error {
	for {
		q, options := question()
		if len(options) == 0 {
			return nil
		}
		n, err := t.choose(q, options, -1)
		if errors.Is(err, errBack) {
			return nil
		}
		if err != nil {
			return err
		}
		if options[n].do == nil {
			return nil
		}
		if err := options[n].do(); err != nil && !errors.Is(err, errBack) {
			return err
		}
		t.say("")
	}
}
