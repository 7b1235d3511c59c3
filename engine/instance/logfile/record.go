package logfile

import (
	"bytes"
	"slices"
	"time"
)

// The names of streams in records and in lines.
const (
	Out    Stream = 'o'
	Err    Stream = 'e'
	Remark Stream = 'c'
)

// Stream is where a line came from.
type Stream byte

// String is the stream's name in a Line: "out", "err" or "carrel".
func (s Stream) String() string {
	switch s {
	case Out:
		return "out"
	case Err:
		return "err"
	}
	return "carrel"
}

// Line is one record.
type Line struct {
	Time    time.Time `json:"time"`
	Stream  string    `json:"stream"`            // "out", "err", or "carrel" for remarks of the supervisor
	Text    string    `json:"text"`              // without the line feed
	Partial bool      `json:"partial,omitempty"` // no line feed was written: the stream's next record goes on with the line
}

const (
	timeLayout = "2006-01-02T15:04:05.000000000Z"
	prefixSize = len(timeLayout) + len(" o. ")
	// maxText is the longest text of one record in bytes; longer lines are continued in further records.
	maxText = 64 << 10
	// again begins a record of the time and stream of the one before it.
	again = ' '
	// shortLine is the length in bytes under which searching for the end of a line costs more than looking at each byte,
	// which is done for shortWindow bytes at a time.
	shortLine, shortWindow = 16, 512
)

func appendPrefix(b []byte, stamp []byte, s Stream, whole bool) []byte {
	b = append(b, stamp...)
	flag := byte('.')
	if !whole {
		flag = '+'
	}
	return append(b, ' ', byte(s), flag, ' ')
}

// appendAgain appends whole lines as records of the time and stream of the one before, as far as lines are no longer than
// maxText, and returns the rest of them.
func appendAgain(b, lines []byte) (out, rest []byte) {
	for len(lines) > 0 {
		end := bytes.IndexByte(lines, '\n') + 1
		if end > maxText {
			break
		}
		b = append(append(b, again), lines[:end]...)
		if lines = lines[end:]; end <= shortLine {
			b, lines = appendShort(b, lines)
		}
	}
	return b, lines
}

// appendShort is appendAgain for the lines that end within a window.
func appendShort(b, lines []byte) (out, rest []byte) {
	window := lines[:min(len(lines), shortWindow)]
	begin := len(b)
	b = slices.Grow(b, 2*shortWindow+1)
	to := b[begin : begin+2*shortWindow+1]
	to[0] = again
	at, done, taken := 1, 0, 0
	for i, c := range window {
		to[at] = c
		at++
		if c == '\n' {
			done, taken = at, i+1
			to[at] = again
			at++
		}
	}
	return b[:begin+done], lines[taken:]
}

// parse reads a record without its line feed. What is none, because the file was damaged, becomes a line without time.
func parse(rec []byte) Line {
	if len(rec) >= prefixSize {
		if t, err := time.Parse(timeLayout, string(rec[:len(timeLayout)])); err == nil {
			p := rec[len(timeLayout):prefixSize]
			known := p[1] == byte(Out) || p[1] == byte(Err) || p[1] == byte(Remark)
			if p[0] == ' ' && p[3] == ' ' && known && (p[2] == '.' || p[2] == '+') {
				return Line{Time: t, Stream: Stream(p[1]).String(), Partial: p[2] == '+', Text: string(rec[prefixSize:])}
			}
		}
	}
	return Line{Stream: Remark.String(), Text: string(rec)}
}

// before tells whether a record was written before a time given in timeLayout, without parsing it.
func before(rec []byte, stamp string) bool {
	return len(rec) >= prefixSize && bytes.Compare(rec[:len(timeLayout)], []byte(stamp)) <= 0
}
