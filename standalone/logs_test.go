// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var logStart = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// ticking returns a clock that goes on by a second with every look.
func ticking() func() time.Time {
	next := logStart.Add(-time.Second)
	return func() time.Time { next = next.Add(time.Second); return next }
}

// logOf writes texts alternately to stdout and stderr, beginning with stdout.
func logOf(t *testing.T, texts ...string) string {
	t.Helper()
	var out bytes.Buffer
	writer := NewLogWriter(&out, ticking())
	streams := []io.WriteCloser{writer.Stream(Stdout), writer.Stream(Stderr)}
	for i, text := range texts {
		if _, err := io.WriteString(streams[i%2], text); err != nil {
			t.Fatal(err)
		}
	}
	for _, stream := range streams {
		if err := stream.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

func TestLogHasDockersFormat(t *testing.T) {
	got := logOf(t, "a<b\nno end", "\"err\"\n\xff\n")
	want := `{"log":"a\u003cb\n","stream":"stdout","time":"2026-01-02T03:04:05Z"}
{"log":"\"err\"\n","stream":"stderr","time":"2026-01-02T03:04:06Z"}
{"log":"\ufffd\n","stream":"stderr","time":"2026-01-02T03:04:07Z"}
{"log":"no end","stream":"stdout","time":"2026-01-02T03:04:08Z"}
`
	if got != want {
		t.Fatalf("got\n%swant\n%s", got, want)
	}
}

func TestLongLinesAreCutBetweenCharacters(t *testing.T) {
	text := strings.Repeat("a", maxLogText-1) + "€" + strings.Repeat("b", maxLogText) + "\n"
	var lengths []int
	var joined string
	for line := range strings.Lines(logOf(t, text)) {
		record, err := DecodeLogRecord([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		lengths = append(lengths, len(record.Text))
		joined += record.Text
	}
	if joined != text {
		t.Fatal("the parts do not make up the text")
	}
	if want := fmt.Sprint([]int{maxLogText - 1, maxLogText, 4}); fmt.Sprint(lengths) != want {
		t.Fatalf("parts of %v bytes, want %v", lengths, want)
	}
}

func TestBytesThatAreNoTextCannotStopTheLog(t *testing.T) {
	log := logOf(t, strings.Repeat("\xf0", 3*maxLogText))
	if count := strings.Count(log, "\n"); count < 3 || count > 4 {
		t.Fatalf("%d records", count)
	}
	for line := range strings.Lines(log) {
		if len(line) > maxLogRecord {
			t.Fatalf("record of %d bytes", len(line))
		}
	}
}

func always() bool { return true }

func shown(t *testing.T, log string, query LogQuery) (string, string) {
	t.Helper()
	var stdout, stderr strings.Builder
	if err := query.Copy(t.Context(), strings.NewReader(log), always, &stdout, &stderr); err != nil {
		t.Fatal(err)
	}
	return stdout.String(), stderr.String()
}

func TestLogQueries(t *testing.T) {
	log := logOf(t, "1\n", "2\n", "3\n", "4\n", "5\npart")
	for name, c := range map[string]struct {
		query          LogQuery
		stdout, stderr string
	}{
		"all":              {LogQuery{Tail: -1}, "1\n3\n5\npart", "2\n4\n"},
		"none":             {LogQuery{Tail: 0}, "", ""},
		"last record":      {LogQuery{Tail: 1}, "part", ""},
		"last three":       {LogQuery{Tail: 3}, "5\npart", "4\n"},
		"more than all":    {LogQuery{Tail: 99}, "1\n3\n5\npart", "2\n4\n"},
		"since the third":  {LogQuery{Tail: -1, Since: logStart.Add(2 * time.Second)}, "3\n5\npart", "4\n"},
		"since tomorrow":   {LogQuery{Tail: -1, Since: logStart.Add(24 * time.Hour)}, "", ""},
		"last two, dated":  {LogQuery{Tail: 2, Timestamps: true}, "2026-01-02T03:04:09.000000000Z 5\n2026-01-02T03:04:10.000000000Z part", ""},
		"follow the ended": {LogQuery{Tail: -1, Follow: true}, "1\n3\n5\npart", "2\n4\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if stdout, stderr := shown(t, log, c.query); stdout != c.stdout || stderr != c.stderr {
				t.Fatalf("got %q and %q, want %q and %q", stdout, stderr, c.stdout, c.stderr)
			}
		})
	}
}

func TestTailCrossesBlocks(t *testing.T) {
	var texts []string
	for i := range 3000 {
		texts = append(texts, fmt.Sprintf("line %d\n", i))
	}
	log := logOf(t, strings.Join(texts, ""))
	for _, count := range []int{1, 399, 400, 1000, 2999, 3000} {
		if got, _ := shown(t, log, LogQuery{Tail: count}); got != strings.Join(texts[3000-count:], "") {
			t.Errorf("tail %d: got %d bytes beginning %.20q", count, len(got), got)
		}
	}
}

func TestTimestampsStandOnlyBeforeWholeLines(t *testing.T) {
	log := logOf(t, strings.Repeat("x", maxLogText+10)+"\n")
	got, _ := shown(t, log, LogQuery{Tail: -1, Timestamps: true})
	if want := "2026-01-02T03:04:05.000000000Z " + strings.Repeat("x", maxLogText+10) + "\n"; got != want {
		t.Fatalf("got %d bytes, want %d", len(got), len(want))
	}
}

func TestBrokenLogsAreErrorsWithAPlace(t *testing.T) {
	good := logOf(t, "1\n")
	for name, c := range map[string]struct{ log, place string }{
		"no JSON":              {good + "x\n", fmt.Sprintf("offset %d", len(good))},
		"unknown stream":       {`{"log":"x","stream":"stdin","time":"2026-01-02T03:04:05Z"}` + "\n", "offset 0"},
		"cut short":            {good + good[:10], fmt.Sprintf("offset %d: the last record is cut short", len(good))},
		"a line without end":   {strings.Repeat("x", maxLogRecord+1), "offset 0: record longer"},
		"an enormous line":     {good + strings.Repeat("x", 4*maxLogRecord) + "\n", fmt.Sprintf("offset %d: record longer", len(good))},
		"time that is no time": {`{"log":"x","stream":"stdout","time":"now"}` + "\n", "offset 0"},
	} {
		t.Run(name, func(t *testing.T) {
			err := LogQuery{Tail: -1}.Copy(t.Context(), strings.NewReader(c.log), always, io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), c.place) {
				t.Fatalf("error %v, want one with %q", err, c.place)
			}
		})
	}
}

func TestRecordBeingWrittenIsNoErrorWhileTheContainerLives(t *testing.T) {
	log := logOf(t, "1\n")
	var out strings.Builder
	err := LogQuery{Tail: -1}.Copy(t.Context(), strings.NewReader(log+log[:10]), func() bool { return false }, &out, io.Discard)
	if err != nil || out.String() != "1\n" {
		t.Fatalf("got %q, %v", out.String(), err)
	}
}

func TestFollowingShowsWhatIsWrittenUntilTheEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	reader, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()

	var ended atomic.Bool
	var out bytes.Buffer
	result := make(chan error, 1)
	go func() {
		result <- LogQuery{Tail: -1, Follow: true}.Copy(context.Background(), reader, ended.Load, &out, io.Discard)
	}()
	stream := NewLogWriter(file, time.Now).Stream(Stdout)
	var want strings.Builder
	for i := range 5 {
		text := fmt.Sprintf("line %d\n", i)
		want.WriteString(text)
		if _, err := io.WriteString(stream, text); err != nil {
			t.Fatal(err)
		}
		time.Sleep(logPollInterval / 2)
	}
	ended.Store(true)
	if err := <-result; err != nil || out.String() != want.String() {
		t.Fatalf("got %q, %v; want %q", out.String(), err, want.String())
	}
}

func TestFollowingEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := LogQuery{Tail: -1, Follow: true}.Copy(ctx, strings.NewReader(""), func() bool { return false }, io.Discard, io.Discard)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want context.Canceled", err)
	}
}

func TestSince(t *testing.T) {
	now := logStart
	for text, want := range map[string]time.Time{
		"10m": now.Add(-10 * time.Minute), "1h30m": now.Add(-90 * time.Minute), "2026-01-01": now.Truncate(24 * time.Hour).Add(-24 * time.Hour),
		"2026-01-02T03:04:05Z": now, "2026-01-02T03:04:05": now, "2026-01-02T04:04:05+01:00": now, "1767323045": now,
	} {
		if got, err := ParseSince(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: got %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "yesterday", "-5m", "2026-13-01"} {
		_, err := ParseSince(text, now)
		wantUsage(t, err, "--since", "10m")
	}
}

func TestTailOption(t *testing.T) {
	for text, want := range map[string]int{"all": -1, "0": 0, "25": 25} {
		if got, err := ParseTail(text); err != nil || got != want {
			t.Errorf("%s: got %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "-1", "some"} {
		_, err := ParseTail(text)
		wantUsage(t, err, "--tail", "all")
	}
}

func FuzzLog(f *testing.F) {
	f.Add([]byte("a\nb"), uint16(1), uint16(1))
	f.Add([]byte("€"), uint16(maxLogText), uint16(7))
	f.Fuzz(func(t *testing.T, piece []byte, count, step uint16) {
		text := bytes.Repeat(piece, int(count))
		text = text[:min(len(text), 3*maxLogText)]
		var log bytes.Buffer
		stream := NewLogWriter(&log, ticking()).Stream(Stdout)
		for rest := text; len(rest) > 0; {
			n := min(max(int(step), 1), len(rest))
			if written, err := stream.Write(rest[:n]); written != n || err != nil {
				t.Fatal(written, err)
			}
			rest = rest[n:]
		}
		if err := stream.Close(); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := (LogQuery{Tail: -1}).Copy(t.Context(), bytes.NewReader(log.Bytes()), always, &out, io.Discard); err != nil {
			t.Fatal(err)
		}
		if want := strings.ToValidUTF8(string(text), ""); strings.ToValidUTF8(strings.ReplaceAll(out.String(), "\ufffd", ""), "") != strings.ReplaceAll(want, "\ufffd", "") {
			t.Fatalf("got %q, want %q", out.String(), want)
		}
	})
}

func FuzzDecodeLogRecord(f *testing.F) {
	f.Add([]byte(`{"log":"a\n","stream":"stdout","time":"2026-01-02T03:04:05Z"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		record, err := DecodeLogRecord(line)
		if err == nil && record.Stream != Stdout && record.Stream != Stderr {
			t.Fatalf("got %+v", record)
		}
	})
}
