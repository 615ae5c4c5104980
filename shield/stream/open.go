// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"filippo.io/age"
)

// Output is one piece of a stream, as it was written.
type Output struct {
	Container, Stream string
	Time              time.Time
	Bytes             []byte
}

// Finding is something that is wrong with a log.
type Finding struct {
	Stream string `json:"stream,omitempty"` // ID of the stream, as its lines have it, and its name where that is known
	What   string `json:"what"`
	Open   bool   `json:"open,omitempty"` // the stream has no end yet, or no beginning: nothing is wrong with that while the container runs
}

func (f Finding) String() string {
	if f.Stream == "" {
		return f.What
	}
	return "stream " + f.Stream + ": " + f.What
}

const (
	maximumStreams  = 1 << 16
	maximumGaps     = 256 // of one stream that are kept apart
	maximumFindings = 4096
)

// Open reads a log, passes what it could open on to out in the log's order, and returns what is wrong with the log. An error is of reading, of out, or says that the log has no sealed
// stream at all. What is not sealed is not passed on, but counted in a finding: whoever can write to the log can add it.
func Open(log io.Reader, identities []age.Identity, out func(Output) error) ([]Finding, error) {
	o := opener{identities: identities, out: out, streams: map[string]*opened{}}
	lines := bufio.NewReaderSize(log, maximumLine)
	for {
		line, err := lines.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			o.unsealed++
			for err == bufio.ErrBufferFull {
				_, err = lines.ReadSlice('\n')
			}
			line = nil
		}
		if err != nil && err != io.EOF {
			return o.findings, err
		}
		if err := o.line(line); err != nil {
			return o.findings, err
		}
		if err == io.EOF {
			return o.finish()
		}
	}
}

type opener struct {
	identities []age.Identity
	out        func(Output) error
	streams    map[string]*opened
	order      []*opened
	findings   []Finding
	unsealed   int
}

// opened is one stream of which a line was seen.
type opened struct {
	id        string
	beginning *beginning // nil: not known
	frames    *frames
	next      uint64 // number of the frame after the highest
	gaps      []span
	ended     bool
	lost      int // frames that could not be opened for want of the key
	repeated  int
	late      int
	damaged   []uint64
	untold    int  // gaps and damaged frames above the maximum
	after     bool // frames came after the end
}

// span is of frames from first to last that were not there when a later one was.
type span struct{ first, last uint64 }

// found adds a finding and returns it, for the time until the next one.
func (o *opener) found(s *opened, format string, arguments ...any) *Finding {
	if len(o.findings) > maximumFindings {
		return new(Finding)
	}
	name := ""
	if s != nil {
		name = s.id
		if s.beginning != nil {
			name += " (" + s.beginning.Stream + ")"
		}
	}
	o.findings = append(o.findings, Finding{Stream: name, What: fmt.Sprintf(format, arguments...)})
	return &o.findings[len(o.findings)-1]
}

// line finds the sealed line in what an engine may have put something around.
func (o *opener) line(line []byte) error {
	line = bytes.TrimRight(line, "\r\n")
	at := bytes.Index(line, []byte(prefix))
	if at < 0 {
		if len(bytes.TrimSpace(line)) > 0 {
			o.unsealed++
		}
		return nil
	}
	kind, rest, _ := bytes.Cut(line[at+len(prefix):], []byte("."))
	id, rest, ok := bytes.Cut(rest, []byte("."))
	if !ok || len(id) != idSize {
		o.unsealed++
		return nil
	}
	stream := o.streams[string(id)]
	if stream == nil {
		if len(o.order) == maximumStreams {
			return fmt.Errorf("more than %d streams in one log", maximumStreams)
		}
		stream = &opened{id: string(id)}
		o.streams[stream.id], o.order = stream, append(o.order, stream)
	}
	switch string(kind) {
	case "h":
		o.begin(stream, decoded(rest))
	case "f":
		number, text, _ := bytes.Cut(rest, []byte("."))
		n, err := strconv.ParseUint(string(number), 10, 64)
		if err != nil || n == ^uint64(0) {
			o.unsealed++
			return nil
		}
		return o.frame(stream, n, decoded(text))
	default:
		o.unsealed++
	}
	return nil
}

// decoded reads base64 up to what is none.
func decoded(text []byte) []byte {
	end := bytes.IndexFunc(text, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	})
	if end >= 0 {
		text = text[:end]
	}
	data, err := encoding.AppendDecode(nil, text)
	if err != nil {
		return nil
	}
	return data
}

func (o *opener) begin(s *opened, sealed []byte) {
	if s.beginning != nil {
		o.found(s, "its beginning is there twice")
		return
	}
	if idOf(sealed) != s.id {
		o.found(s, "its beginning was changed")
		return
	}
	var none *age.NoIdentityMatchError
	plain, err := age.Decrypt(bytes.NewReader(sealed), o.identities...)
	if errors.As(err, &none) {
		o.found(s, "it is sealed for other recipients")
		return
	}
	var document []byte
	if err == nil {
		document, err = io.ReadAll(io.LimitReader(plain, maximumLine))
	}
	defer clear(document)
	var b beginning
	if err == nil {
		err = json.Unmarshal(document, &b)
	}
	if err == nil {
		err = b.check()
	}
	if err == nil {
		s.frames, err = newFrames(b.Key, s.id)
		clear(b.Key)
	}
	if err != nil {
		o.found(s, "its beginning cannot be read: %v", err)
		return
	}
	s.beginning = &b
	if s.lost > 0 {
		o.found(s, "%d frames are before its beginning", s.lost)
		s.lost = 0
	}
}

func (o *opener) frame(s *opened, number uint64, sealed []byte) error {
	if s.frames == nil {
		s.lost++
		return nil
	}
	c, err := s.frames.open(number, sealed)
	if err != nil {
		if len(s.damaged) < maximumGaps {
			s.damaged = append(s.damaged, number)
		} else {
			s.untold++
		}
		return nil
	}
	if !s.place(number) {
		return nil
	}
	if c.kind == kindEnd {
		s.ended = true
		return nil
	}
	return o.out(Output{s.beginning.Container, s.beginning.Stream, time.Unix(0, c.time), c.output})
}

// place notes a frame's number, and reports whether it is there for the first time.
func (s *opened) place(number uint64) bool {
	if number >= s.next {
		if s.ended {
			s.after = true
		}
		if number > s.next && len(s.gaps) < maximumGaps {
			s.gaps = append(s.gaps, span{s.next, number - 1})
		} else if number > s.next {
			s.untold++
		}
		s.next = number + 1
		return true
	}
	for i, gap := range s.gaps {
		if number < gap.first || number > gap.last {
			continue
		}
		s.late++
		var rest []span
		if number > gap.first {
			rest = append(rest, span{gap.first, number - 1})
		}
		if number < gap.last {
			rest = append(rest, span{number + 1, gap.last})
		}
		s.gaps = slices.Replace(s.gaps, i, i+1, rest...)
		return true
	}
	s.repeated++
	return false
}

// finish says what the whole log lacks.
func (o *opener) finish() ([]Finding, error) {
	if len(o.order) == 0 {
		return nil, errors.New("the log has no sealed stream")
	}
	runs := map[string][]string{}
	var known []*opened
	for _, s := range o.order {
		switch {
		case s.beginning == nil && s.lost > 0:
			o.found(s, "%d frames cannot be opened without its beginning", s.lost)
		case s.beginning != nil:
			o.state(s)
			if runs[s.beginning.Run] == nil {
				known = append(known, s)
			}
			runs[s.beginning.Run] = append(runs[s.beginning.Run], s.beginning.Stream)
		}
	}
	for _, s := range known {
		for _, name := range s.beginning.Streams {
			if !slices.Contains(runs[s.beginning.Run], name) {
				o.found(nil, "the stream %s of the same run as %s is missing", name, s.id).Open = true
			}
		}
	}
	if o.unsealed > 0 {
		o.found(nil, "%d lines are not sealed and were left out", o.unsealed)
	}
	return o.findings, nil
}

func (o *opener) state(s *opened) {
	for _, number := range s.damaged {
		o.found(s, "frame %d is damaged", number)
	}
	for _, gap := range s.gaps {
		if gap.first == gap.last {
			o.found(s, "frame %d is missing", gap.first)
		} else {
			o.found(s, "frames %d to %d are missing", gap.first, gap.last)
		}
	}
	if s.untold > 0 {
		o.found(s, "%d more frames are missing or damaged", s.untold)
	}
	if s.late > 0 {
		o.found(s, "%d frames are after later ones", s.late)
	}
	if s.repeated > 0 {
		o.found(s, "%d frames are there again", s.repeated)
	}
	if s.after {
		o.found(s, "frames follow its end")
	}
	if !s.ended {
		o.found(s, "it has no end: the log was cut off after frame %d, or the container still writes, or was killed with its keeper", int64(s.next)-1).Open = true
	}
}
