// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
	"unicode/utf8"
)

// Stream names one of a container's two outputs, in the log as Docker spells it.
type Stream string

// The two streams.
const (
	Stdout Stream = "stdout"
	Stderr Stream = "stderr"
)

// LogRecord is one line of the log file, in the format of Docker's json-file driver. Text ends with a new line unless it is a part of a
// longer one. JSON text is UTF-8: other bytes become U+FFFD, as they do in Docker.
type LogRecord struct {
	Text   string    `json:"log"`
	Stream Stream    `json:"stream"`
	Time   time.Time `json:"time"`
}

// maxLogText is where a long line is cut into several records, in bytes, as Docker does.
const maxLogText = 16 << 10

// maxLogRecord bounds an encoded record: every byte of the text may be escaped as \u0000.
const maxLogRecord = 6*maxLogText + 256

// LogWriter writes the streams of one container to one log, a record by a single Write, so that a file opened with O_APPEND never mixes
// two. It can be used by several goroutines.
type LogWriter struct {
	mutex sync.Mutex
	out   io.Writer
	now   func() time.Time
}

// NewLogWriter returns a writer to out; now is time.Now outside tests.
func NewLogWriter(out io.Writer, now func() time.Time) *LogWriter {
	return &LogWriter{out: out, now: now}
}

// Stream returns a writer for one stream. Close writes the last line if it has no end. One stream is for one goroutine.
func (w *LogWriter) Stream(name Stream) io.WriteCloser { return &logStream{log: w, name: name} }

func (w *LogWriter) write(stream Stream, text []byte) error {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	record, err := json.Marshal(LogRecord{Text: string(text), Stream: stream, Time: w.now().UTC()})
	if err != nil {
		return err
	}
	_, err = w.out.Write(append(record, '\n'))
	return err
}

// logStream keeps the line that has not ended yet, at most maxLogText bytes.
type logStream struct {
	log     *LogWriter
	name    Stream
	pending []byte
}

func (s *logStream) Write(data []byte) (int, error) {
	written := 0
	for len(data) > 0 {
		taken := min(len(data), maxLogText-len(s.pending))
		end := bytes.IndexByte(data[:taken], '\n') + 1
		if end > 0 {
			taken = end
		}
		s.pending = append(s.pending, data[:taken]...)
		data = data[taken:]
		written += taken
		if end > 0 || len(s.pending) == maxLogText {
			if err := s.flush(end > 0); err != nil {
				return written, err
			}
		}
	}
	return written, nil
}

// flush writes what is pending. A part that is no whole line is cut before a character that has only begun.
func (s *logStream) flush(whole bool) error {
	cut := len(s.pending)
	if !whole {
		cut -= begunCharacter(s.pending)
	}
	err := s.log.write(s.name, s.pending[:cut])
	s.pending = append(s.pending[:0], s.pending[cut:]...)
	return err
}

// begunCharacter counts the bytes at the end of text, at most 3, that begin a UTF-8 character without ending it.
func begunCharacter(text []byte) int {
	for back := 1; back < utf8.UTFMax && back < len(text); back++ {
		if tail := text[len(text)-back:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return back
		}
	}
	return 0
}

func (s *logStream) Close() error {
	if len(s.pending) == 0 {
		return nil
	}
	err := s.log.write(s.name, s.pending)
	s.pending = nil
	return err
}

// DecodeLogRecord reads one line of a log file.
func DecodeLogRecord(line []byte) (LogRecord, error) {
	var record LogRecord
	if err := json.Unmarshal(line, &record); err != nil {
		return LogRecord{}, err
	}
	if !slices.Contains([]Stream{Stdout, Stderr}, record.Stream) {
		return LogRecord{}, fmt.Errorf("unknown stream %.40q", record.Stream)
	}
	return record, nil
}
