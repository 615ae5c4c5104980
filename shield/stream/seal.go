// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"filippo.io/age"
)

// Run is one run of a container, whose streams are sealed for the same recipients.
type Run struct {
	Container  string // its ID or name, for the reader
	Streams    []string
	Recipients []age.Recipient
	Now        func() time.Time

	id string
}

// longestWritten is of a line that is written, in bytes: engines cut longer ones, at 16 KiB.
const longestWritten = 16<<10 - 1

// ParseRecipients reads public keys as age-keygen prints them: age1..., or age1pq1... of the hybrid with ML-KEM-768.
func ParseRecipients(texts []string) ([]age.Recipient, error) {
	var list []age.Recipient
	for _, text := range texts {
		parsed, err := age.ParseRecipients(strings.NewReader(text))
		if err != nil || len(parsed) != 1 || strings.ContainsAny(text, " \t\r\n") {
			return nil, fmt.Errorf("%.20q is no age recipient: age1... as age-keygen prints it", text)
		}
		list = append(list, parsed[0])
	}
	return list, nil
}

// NewRun names a run of which the streams will be sealed, such as stdout and stderr.
func NewRun(container string, streams []string, recipients []age.Recipient, now func() time.Time) *Run {
	return &Run{container, streams, recipients, now, rand.Text()}
}

// Sealer writes one stream as sealed lines, its beginning with the first. Each Write is sealed and passed on before it returns. It may be used by one goroutine at a time, but for Close.
type Sealer struct {
	mu     sync.Mutex
	out    io.Writer
	line   []byte // the beginning, until it is written
	frames *frames
	id     string
	number uint64
	now    func() time.Time
	err    error // of the first failure: what follows would have a gap before it
}

var errClosed = errors.New("the sealed stream is closed")

// Sealer seals the stream name and writes it to out: the beginning, too, not before there is output or the end, since some who attach to a container see nothing earlier.
func (r *Run) Sealer(name string, out io.Writer) (*Sealer, error) {
	if !slices.Contains(r.Streams, name) {
		return nil, fmt.Errorf("the run has no stream %q", name)
	}
	key := make([]byte, keySize)
	rand.Read(key)
	defer clear(key)
	document, err := json.Marshal(beginning{key, r.id, name, r.Streams, r.Container})
	if err != nil {
		return nil, err
	}
	defer clear(document)
	var sealed bytes.Buffer
	in, err := age.Encrypt(&sealed, r.Recipients...)
	if err != nil {
		return nil, fmt.Errorf("sealing the stream's key: %w", err)
	}
	if _, err := in.Write(document); err != nil {
		return nil, err
	}
	if err := in.Close(); err != nil {
		return nil, err
	}
	id := idOf(sealed.Bytes())
	line := []byte(prefix + "h." + id + "." + encoding.EncodeToString(sealed.Bytes()) + "\n")
	if len(line) > longestWritten {
		return nil, fmt.Errorf("%d recipients: the beginning of a stream has no room for so many", len(r.Recipients))
	}
	frames, err := newFrames(key, id)
	if err != nil {
		return nil, err
	}
	return &Sealer{out: out, line: line, frames: frames, id: id, now: r.Now}, nil
}

// Write seals output. After an error nothing more is written.
func (s *Sealer) Write(output []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	written := 0
	for part := range slices.Chunk(output, maximumOutput) {
		if err := s.frame(kindOutput, part); err != nil {
			return written, err
		}
		written += len(part)
	}
	return written, nil
}

// Close writes the last frame. What comes after it is refused.
func (s *Sealer) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == errClosed {
		return nil
	}
	err := s.frame(kindEnd, nil)
	if err == nil {
		s.err = errClosed
	}
	return err
}

func (s *Sealer) frame(kind byte, output []byte) error {
	if s.err != nil {
		return s.err
	}
	sealed := s.frames.seal(s.number, content{kind, s.now().UnixNano(), output})
	line := fmt.Appendf(s.line, "%sf.%s.%d.", prefix, s.id, s.number)
	line = append(encoding.AppendEncode(line, sealed), '\n')
	s.number++
	s.line = nil
	_, s.err = s.out.Write(line)
	return s.err
}
