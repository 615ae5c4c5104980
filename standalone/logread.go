// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/bulkhead-project/bulkhead/shield/stream"
)

// LogQuery says what to show of a log.
type LogQuery struct {
	Tail       int       // how many of the last records; negative for all
	Since      time.Time // leave out earlier records; the zero time leaves out none
	Timestamps bool      // before each line, RFC 3339 with nanoseconds
	Follow     bool      // wait for more until the container has ended
}

// logPollInterval is how long a following reader waits at the end of the file.
const logPollInterval = 100 * time.Millisecond

// Copy writes the records of log to the writer of their stream. ended says whether the container can write no more; following, Copy polls it
// and reads what is left. It returns ctx's error when ctx is done first, and an error with the offset of a record that is broken or, after
// the end, cut short.
func (q LogQuery) Copy(ctx context.Context, log io.ReadSeeker, ended func() bool, stdout, stderr io.Writer) error {
	start, err := tailOffset(log, q.Tail)
	if err != nil {
		return err
	}
	if _, err = log.Seek(start, io.SeekStart); err != nil {
		return err
	}
	printer := logPrinter{query: q, stdout: stdout, stderr: stderr}
	lines := logLines{reader: bufio.NewReaderSize(log, 32<<10), offset: start}
	for {
		complete := ended() // asked before reading: what was written before the end is then in the file
		if err := lines.each(printer.print); err != nil {
			return err
		}
		if complete {
			return lines.checkEnd()
		}
		if !q.Follow {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(logPollInterval):
		}
	}
}

// logLines reads whole lines from a file that may grow.
type logLines struct {
	reader  *bufio.Reader
	offset  int64  // of the line being read
	pending []byte // its beginning, while its end is not there yet
}

// each calls use with every whole line up to the present end of the file.
func (l *logLines) each(use func([]byte) error) error {
	for {
		part, err := l.reader.ReadSlice('\n')
		l.pending = append(l.pending, part...)
		switch {
		case len(l.pending) > maxLogRecord:
			return fmt.Errorf("log at offset %d: record longer than %d bytes", l.offset, maxLogRecord)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := use(l.pending); err != nil {
			return fmt.Errorf("log at offset %d: %w", l.offset, err)
		}
		l.offset += int64(len(l.pending))
		l.pending = l.pending[:0]
	}
}

func (l *logLines) checkEnd() error {
	if len(l.pending) > 0 {
		return fmt.Errorf("log at offset %d: the last record is cut short", l.offset)
	}
	return nil
}

// logPrinter remembers which streams are inside a line, where no timestamp belongs.
type logPrinter struct {
	query          LogQuery
	stdout, stderr io.Writer
	inside         [2]bool
}

func (p *logPrinter) print(line []byte) error {
	record, err := DecodeLogRecord(line)
	if err != nil {
		return err
	}
	return p.show(record)
}

func (p *logPrinter) show(record LogRecord) error {
	if record.Time.Before(p.query.Since) {
		return nil
	}
	out, inside := p.stdout, &p.inside[0]
	if record.Stream == Stderr {
		out, inside = p.stderr, &p.inside[1]
	}
	text := record.Text
	if p.query.Timestamps && !*inside {
		text = record.Time.UTC().Format("2006-01-02T15:04:05.000000000Z07:00") + " " + text
	}
	*inside = !strings.HasSuffix(record.Text, "\n")
	_, err := io.WriteString(out, text)
	return err
}

// CopySealed opens the sealed streams that are among the lines of log and writes what they hold, by Since and Timestamps, whose times are those at which
// the container wrote. It returns what is wrong with the log: see stream.Open.
func (q LogQuery) CopySealed(log io.Reader, identities []age.Identity, stdout, stderr io.Writer) ([]stream.Finding, error) {
	printer := logPrinter{query: q, stdout: stdout, stderr: stderr}
	return stream.Open(log, identities, func(output stream.Output) error {
		for line := range bytes.Lines(output.Bytes) {
			if err := printer.show(LogRecord{string(line), Stream(output.Stream), output.Time}); err != nil {
				return err
			}
		}
		return nil
	})
}

// tailOffset finds where the last count lines begin, reading backwards in blocks.
func tailOffset(log io.ReadSeeker, count int) (int64, error) {
	if count < 0 {
		return 0, nil
	}
	end, err := log.Seek(0, io.SeekEnd)
	if err != nil || count == 0 {
		return end, err
	}
	block := make([]byte, 32<<10)
	ends := 0 // line ends seen; the one at the file's very end closes the last line
	for position := end; position > 0; {
		size := min(position, int64(len(block)))
		position -= size
		if _, err := log.Seek(position, io.SeekStart); err != nil {
			return 0, err
		}
		if _, err := io.ReadFull(log, block[:size]); err != nil {
			return 0, err
		}
		for rest := block[:size]; ; {
			i := bytes.LastIndexByte(rest, '\n')
			if i < 0 {
				break
			}
			if position+int64(i) != end-1 {
				ends++
			}
			if ends == count {
				return position + int64(i) + 1, nil
			}
			rest = rest[:i]
		}
	}
	return 0, nil
}

// ParseTail reads "all" (giving -1) or a number of records.
func ParseTail(text string) (int, error) {
	if text == "all" {
		return -1, nil
	}
	count, err := strconv.Atoi(text)
	if err != nil || count < 0 {
		return 0, usage("--tail", "a number of lines, or all", "%.40q is not a number of lines", text)
	}
	return count, nil
}

// ParseSince reads a duration before now ("10m"), a time in RFC 3339 with or without zone (then UTC), a date, or seconds since 1970.
func ParseSince(text string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	if seconds, err := strconv.ParseInt(text, 10, 40); err == nil {
		return time.Unix(seconds, 0).UTC(), nil
	}
	return time.Time{}, usage("--since", "write 10m, 2026-01-02T15:04:05Z or seconds since 1970", "%.40q is not a time", text)
}
