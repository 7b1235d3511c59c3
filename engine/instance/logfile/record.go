package logfile

import (
	"bytes"
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
)

func appendPrefix(b []byte, stamp []byte, s Stream, whole bool) []byte {
	b = append(b, stamp...)
	flag := byte('.')
	if !whole {
		flag = '+'
	}
	return append(b, ' ', byte(s), flag, ' ')
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
