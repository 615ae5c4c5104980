// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
)

func identity(t testing.TB) *age.X25519Identity {
	t.Helper()
	made, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return made
}

var start = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)

func run(recipients ...age.Recipient) *Run {
	return NewRun("web", []string{"stdout", "stderr"}, recipients, func() time.Time { return start })
}

// sealed returns the lines of both streams of a run; stdout has the pieces, stderr none.
func sealed(t testing.TB, to *age.X25519Identity, pieces ...string) []string {
	t.Helper()
	var log bytes.Buffer
	both := run(to.Recipient())
	for _, name := range both.Streams {
		stream, err := both.Sealer(name, &log)
		if err != nil {
			t.Fatal(err)
		}
		if name == "stdout" {
			for _, piece := range pieces {
				if n, err := io.WriteString(stream, piece); n != len(piece) || err != nil {
					t.Fatal(n, err)
				}
			}
		}
		if err := stream.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")
}

func open(lines []string, with ...age.Identity) (text string, findings string, err error) {
	var out strings.Builder
	list, err := Open(strings.NewReader(strings.Join(lines, "\n")), with, func(o Output) error {
		if o.Container != "web" || o.Stream != "stdout" || !o.Time.Equal(start) {
			return fmt.Errorf("%+v", o)
		}
		out.Write(o.Bytes)
		return nil
	})
	var said []string
	for _, finding := range list {
		said = append(said, finding.String())
	}
	return out.String(), strings.Join(said, "\n"), err
}

func TestWhatWasWrittenIsOpened(t *testing.T) {
	me := identity(t)
	large := strings.Repeat("0123456789abcdef", 4096)
	lines := sealed(t, me, "hello\n", "", "secret", large)
	for _, line := range lines {
		if len(line) >= 16<<10 || strings.Contains(line, "secret") {
			t.Errorf("a line of %d bytes: %.80s", len(line), line)
		}
	}
	for name, wrap := range map[string]string{"Plain": "%s", "DockersJSON": `{"log":"%s\n","stream":"stdout","time":"2026-11-22T00:00:00Z"}`, "Compose": "web-1  | %s", "CRI": "2026-11-22T00:00:00Z stdout F %s",
		"CarriageReturn": "%s\r"} {
		var wrapped []string
		for _, line := range lines {
			wrapped = append(wrapped, fmt.Sprintf(wrap, line))
		}
		if text, findings, err := open(wrapped, identity(t), me); text != "hello\nsecret"+large || findings != "" || err != nil {
			t.Errorf("%s: %d bytes, %s, %v", name, len(text), findings, err)
		}
	}
}

func TestOutputsOfTheSameBlockHaveTheSameSize(t *testing.T) {
	me := identity(t)
	a, b := sealed(t, me, "y"), sealed(t, me, strings.Repeat("n", blockSize-contentHead))
	if len(a[1]) != len(b[1]) {
		t.Errorf("%d and %d bytes", len(a[1]), len(b[1]))
	}
}

func TestFindings(t *testing.T) {
	me, other := identity(t), identity(t)
	lines := sealed(t, me, "a", "b", "c", "d") // 0: beginning, 1 to 4: output, 5: end, 6 and 7: stderr
	foreign := sealed(t, other, "z")
	with := func(change func([]string) []string) []string { return change(slices.Clone(lines)) }
	flip := func(line string, at int) string {
		other := byte('A')
		if line[at] == other {
			other = 'B'
		}
		return line[:at] + string(other) + line[at+1:]
	}
	for name, test := range map[string]struct {
		lines      []string
		text, want string
	}{
		"Dropped":         {with(func(l []string) []string { return slices.Delete(l, 2, 3) }), "acd", "frame 1 is missing"},
		"TwoDropped":      {with(func(l []string) []string { return slices.Delete(l, 2, 4) }), "ad", "frames 1 to 2 are missing"},
		"FirstDropped":    {with(func(l []string) []string { return slices.Delete(l, 1, 2) }), "bcd", "frame 0 is missing"},
		"Reordered":       {with(func(l []string) []string { l[2], l[3] = l[3], l[2]; return l }), "acbd", "1 frames are after later ones"},
		"Repeated":        {with(func(l []string) []string { return slices.Insert(l, 3, l[2]) }), "abcd", "1 frames are there again"},
		"Changed":         {with(func(l []string) []string { l[2] = flip(l[2], len(l[2])-20); return l }), "acd", "frame 1 is damaged"},
		"Renumbered":      {with(func(l []string) []string { l[2] = strings.Replace(l[2], ".1.", ".9.", 2); return l }), "acd", "frame 1 is missing"},
		"CutOff":          {lines[:4], "abc", "it has no end: the log was cut off after frame 2"},
		"CutInALine":      {append(slices.Clone(lines[:4]), lines[4][:60]), "abc", "frame 3 is damaged"},
		"StderrDropped":   {lines[:6], "abcd", "the stream stderr of the same run"},
		"NoBeginning":     {lines[1:], "", "5 frames cannot be opened without its beginning"},
		"BeginningLate":   {with(func(l []string) []string { l[0], l[1] = l[1], l[0]; return l }), "bcd", "1 frames are before its beginning"},
		"BeginningTwice":  {with(func(l []string) []string { return slices.Insert(l, 2, l[0]) }), "abcd", "its beginning is there twice"},
		"BeginningChange": {with(func(l []string) []string { l[0] = flip(l[0], len(l[0])-20); return l }), "", "its beginning was changed"},
		"Unsealed":        {with(func(l []string) []string { return slices.Insert(l, 3, "I am root") }), "abcd", "1 lines are not sealed"},
		"TooLong":         {with(func(l []string) []string { return slices.Insert(l, 3, strings.Repeat("x", 3*maximumLine)) }), "abcd", "1 lines are not sealed"},
		"Foreign":         {append(slices.Clone(lines), foreign...), "abcd", "it is sealed for other recipients"},
		"OthersFrame": {with(func(l []string) []string {
			return slices.Insert(l, 3, strings.Replace(foreign[1], foreign[1][len(prefix)+2:][:idSize], lines[1][len(prefix)+2:][:idSize], 1))
		}), "abcd", "frame 0 is damaged"},
		"AfterTheEnd": {with(func(l []string) []string { l[4], l[5] = l[5], l[4]; return l }), "abcd", "1 frames are after later ones"},
	} {
		text, findings, err := open(test.lines, me)
		if text != test.text || !strings.Contains(findings, test.want) || err != nil {
			t.Errorf("%s: %q, %s, %v; want %q, %s", name, text, findings, err, test.text, test.want)
		}
	}
	if _, _, err := open([]string{"nothing sealed"}, me); err == nil || !strings.Contains(err.Error(), "no sealed stream") {
		t.Errorf("without a stream: %v", err)
	}
}

// Whatever is done to the lines, what is passed on was written, once, and if something is missing or in another order there is a finding.
func TestRandomAttacksAreFound(t *testing.T) {
	me := identity(t)
	random := rand.New(rand.NewPCG(1, 2))
	var pieces []string
	for i := range 40 {
		pieces = append(pieces, fmt.Sprintf("<%d>", i))
	}
	lines := sealed(t, me, pieces...)
	for range 300 {
		changed := slices.Clone(lines)
		for range 1 + random.IntN(4) {
			i, j := random.IntN(len(changed)), random.IntN(len(changed))
			switch random.IntN(4) {
			case 0:
				changed = slices.Delete(changed, i, i+1)
			case 1:
				changed[i], changed[j] = changed[j], changed[i]
			case 2:
				changed = slices.Insert(changed, i, changed[j])
			case 3:
				changed[i] = changed[i][:random.IntN(len(changed[i]))]
			}
		}
		text, findings, err := open(changed, me)
		if err != nil {
			continue
		}
		if text != strings.Join(pieces, "") && findings == "" {
			t.Fatalf("%q without a finding", text)
		}
		seen := map[string]bool{}
		for piece := range strings.SplitAfterSeq(text, ">") {
			if piece != "" && (!slices.Contains(pieces, piece) || seen[piece]) {
				t.Fatalf("%q was never written, or once: %s", piece, findings)
			}
			seen[piece] = true
		}
	}
}

func TestNothingIsWrittenAfterTheEndOrAnError(t *testing.T) {
	var log bytes.Buffer
	stream, err := run(identity(t).Recipient()).Sealer("stdout", &log)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(stream.Close(), stream.Close()); err != nil {
		t.Error(err)
	}
	if _, err := stream.Write([]byte("x")); err != errClosed {
		t.Error(err)
	}
	full := &failing{left: 1}
	stream, err = run(identity(t).Recipient()).Sealer("stdout", full)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		stream.Write([]byte("x"))
	}
	if err := stream.Close(); err == nil || full.calls != 2 {
		t.Errorf("%v after %d calls", err, full.calls)
	}
}

// failing takes so many writes.
type failing struct{ left, calls int }

func (f *failing) Write(p []byte) (int, error) {
	f.calls++
	if f.left--; f.left < 0 {
		return 0, io.ErrShortWrite
	}
	return len(p), nil
}

func TestSealerRefuses(t *testing.T) {
	if _, err := run(identity(t).Recipient()).Sealer("stdin", io.Discard); err == nil {
		t.Error("a stream that the run does not have")
	}
	if _, err := run().Sealer("stdout", io.Discard); err == nil {
		t.Error("no recipient")
	}
	me := identity(t).Recipient()
	if _, err := run(slices.Repeat([]age.Recipient{me}, 500)...).Sealer("stdout", io.Discard); err == nil || !strings.Contains(err.Error(), "500 recipients") {
		t.Error(err)
	}
}

func FuzzOpen(f *testing.F) {
	me := identity(f)
	for _, line := range []int{0, 1, 6} {
		f.Add(strings.Join(sealed(f, me, "a", "b")[line:], "\n"))
	}
	f.Add("bulkhead.1.f.0123456789abcdef.18446744073709551615.AAAA\nbulkhead.1.x.0123456789abcdef.\nbulkhead.1.")
	f.Fuzz(func(t *testing.T, log string) {
		Open(strings.NewReader(log), []age.Identity{me}, func(Output) error { return nil })
	})
}

func FuzzContent(f *testing.F) {
	frames, err := newFrames(make([]byte, keySize), "id")
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})
	f.Add(make([]byte, 64))
	f.Fuzz(func(t *testing.T, plain []byte) {
		frames.open(1, frames.aead.Seal(nil, nonce(1), plain, frames.additional))
	})
}
