// SPDX-License-Identifier: Apache-2.0

package dfa

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// raw are tables that a test can spoil before they are written.
type raw struct {
	magic, header uint32
	flags         uint16
	tables        []rawTable
	after         []byte
}

type rawTable struct {
	id     tableID
	width  uint16
	values []uint32
}

func (r *raw) table(id tableID) *rawTable {
	for i := range r.tables {
		if r.tables[i].id == id {
			return &r.tables[i]
		}
	}
	return nil
}

func (r *raw) bytes() []byte {
	out := binary.BigEndian.AppendUint32(nil, r.magic)
	out = binary.BigEndian.AppendUint32(out, r.header)
	out = binary.BigEndian.AppendUint32(out, 0)
	out = binary.BigEndian.AppendUint16(out, r.flags)
	out = append(out, "notflex\x00\x00\x00"...)
	for _, t := range r.tables {
		width := int(t.width)
		if width != 1 && width != 2 {
			width = 4
		}
		at := len(out)
		out = appendTable(out, t.id, width, len(t.values), func(i int) uint32 { return t.values[i] })
		binary.BigEndian.PutUint16(out[at+2:], t.width)
	}
	return append(out, r.after...)
}

// small are tables of an automaton for "a", in state 2: state 1 has its transition at base 1.
func small() *raw {
	next, check := make([]uint32, 257), make([]uint32, 257)
	next[1+'a'], check[1+'a'] = 2, 1
	return &raw{magic: tablesMagic, header: headerLength, tables: []rawTable{
		{tableAccept, 4, []uint32{0, 0, 7}},
		{tableAccept2, 4, []uint32{0, 0, 8}},
		{tableBase, 4, []uint32{0, 1, 0}},
		{tableDefault, 2, []uint32{0, 0, 0}},
		{tableNext, 2, next},
		{tableCheck, 2, check},
	}}
}

func TestKernelsChecksAreOurs(t *testing.T) {
	for name, c := range map[string]struct {
		spoil  func(r *raw)
		refuse string // part of the error; "" where the kernel takes it
	}{
		"AsItIs":                          {func(r *raw) {}, ""},
		"WithoutSecondAccept":             {func(r *raw) { r.tables = append(r.tables[:1:1], r.tables[2:]...) }, ""},
		"WideTables":                      {func(r *raw) { r.table(tableNext).width, r.table(tableDefault).width = 4, 4 }, ""},
		"LastBase":                        {func(r *raw) { r.table(tableBase).values[2] = 1 }, ""},
		"Classes":                         {func(r *raw) { r.tables = append(r.tables, rawTable{tableClass, 1, make([]uint32, 256)}) }, ""},
		"AnnouncedButNotUsed":             {func(r *raw) { r.flags = flagDifferences | flagOutOfBand }, ""},
		"OutOfBand":                       {func(r *raw) { r.flags = flagOutOfBand; r.table(tableBase).values[1] |= baseOutOfBand }, ""},
		"DifferencesToAStateThatHasNone":  {func(r *raw) { r.flags = flagDifferences; r.table(tableBase).values[1] |= baseDifferences }, ""},
		"TransitionsOfTheTrap":            {func(r *raw) { r.table(tableNext).values[0] = 1 }, ""},
		"OtherMagic":                      {func(r *raw) { r.magic++ }, "magic"},
		"HeaderLongerThanAll":             {func(r *raw) { r.header = 1 << 20 }, "header"},
		"HeaderThatEndsElsewhere":         {func(r *raw) { r.header = 20 }, "table"},
		"UnknownFlag":                     {func(r *raw) { r.flags = 4 }, "flags"},
		"UnknownTable":                    {func(r *raw) { r.table(tableAccept2).id = 6 }, "table 6"},
		"TableOfNoNumber":                 {func(r *raw) { r.table(tableAccept2).id = 0 }, "table 0"},
		"TableTwice":                      {func(r *raw) { r.tables = append(r.tables, r.tables[0]) }, "twice"},
		"TableWithout":                    {func(r *raw) { r.tables = r.tables[1:] }, "no table 1"},
		"NoTransitions":                   {func(r *raw) { r.table(tableNext).values = nil }, "empty"},
		"OddWidth":                        {func(r *raw) { r.table(tableNext).width = 3 }, "entries"},
		"BytesOfAccept":                   {func(r *raw) { r.table(tableAccept).width = 2 }, "entries"},
		"FewerAccepts":                    {func(r *raw) { r.table(tableAccept).values = []uint32{0, 0} }, "states"},
		"FewerDefaults":                   {func(r *raw) { r.table(tableDefault).values = []uint32{0, 0} }, "states"},
		"FewerChecks":                     {func(r *raw) { r.table(tableCheck).values = make([]uint32, 256) }, "checks"},
		"FewerClasses":                    {func(r *raw) { r.tables = append(r.tables, rawTable{tableClass, 1, make([]uint32, 255)}) }, "classes"},
		"OneState":                        {func(r *raw) { shorten(r, 1) }, "two at least"},
		"DefaultOutOfBounds":              {func(r *raw) { r.table(tableDefault).values[1] = 3 }, "default"},
		"NextOutOfBounds":                 {func(r *raw) { r.table(tableNext).values[0] = 3 }, "transition 0"},
		"CheckOutOfBounds":                {func(r *raw) { r.table(tableCheck).values[9] = 3 }, "transition 9"},
		"BaseBeyondTheTables":             {func(r *raw) { r.table(tableBase).values[2] = 2 }, "leaves"},
		"UnknownFlagOfAState":             {func(r *raw) { r.table(tableBase).values[2] = 0x01000000 }, "unknown flags"},
		"DifferencesNotAnnounced":         {func(r *raw) { r.table(tableBase).values[1] |= baseDifferences }, "announce"},
		"OutOfBandNotAnnounced":           {func(r *raw) { r.table(tableBase).values[1] |= baseOutOfBand }, "announce"},
		"OutOfBandBeforeTheTables":        {func(r *raw) { r.flags = flagOutOfBand; r.table(tableBase).values[2] = baseOutOfBand }, "before"},
		"DifferencesToItself":             {func(r *raw) { differ(r, 0, 2, 2) }, "circle"},
		"DifferencesInACircle":            {func(r *raw) { differ(r, 0, 2, 1) }, "circle"},
		"CircleOfDifferencesBehindAState": {func(r *raw) { differ(r, 1, 1, 0) }, "circle"},
		"BytesAfterTheTables":             {func(r *raw) { r.after = make([]byte, 8) }, "table"},
	} {
		t.Run(name, func(t *testing.T) {
			r := small()
			c.spoil(r)
			a, err := Decode(r.bytes())
			if c.refuse == "" {
				if err != nil {
					t.Fatal(err)
				}
				if len(a.Accept) != 3 || a.Accept[2].One != 7 {
					t.Errorf("decoded: %v", a.Accept)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.refuse) {
				t.Errorf("got %v, want an error about %q", err, c.refuse)
			}
		})
	}
	whole := small().bytes()
	for length := range len(whole) {
		if _, err := Decode(whole[:length]); err == nil {
			t.Fatalf("%d of %d bytes are decoded", length, len(whole))
		}
	}
}

// shorten leaves as many states.
func shorten(r *raw, states int) {
	for _, id := range []tableID{tableAccept, tableAccept2, tableBase, tableDefault} {
		r.table(id).values = r.table(id).values[:states]
	}
}

// differ makes all states differences to the given ones.
func differ(r *raw, to ...uint32) {
	r.flags = flagDifferences
	for state := range to {
		r.table(tableBase).values[state] |= baseDifferences
	}
	r.table(tableDefault).values = to
}

func TestDifferencesAreUnfolded(t *testing.T) {
	r := small()
	r.flags = flagDifferences
	// State 2 is as state 1, but for b, after which it is in itself.
	r.table(tableBase).values[2] = baseDifferences | 1
	r.table(tableDefault).values[2] = 1
	r.table(tableNext).values[1+'b'], r.table(tableCheck).values[1+'b'] = 2, 2
	a, err := Decode(r.bytes())
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]uint32{"a": 2, "aa": 2, "ab": 2, "abba": 2, "ac": 0, "b": 0} {
		if got := a.Walk(Start, text); got != want {
			t.Errorf("%q leads to %d, want %d", text, got, want)
		}
	}
	if a.Classes != 3 {
		t.Errorf("%d classes, want those of a, b and the others", a.Classes)
	}
}

func TestStatesKeepTheirNumbers(t *testing.T) {
	r := small()
	r.table(tableDefault).values = []uint32{0, 0, 1} // nothing leads to state 2 but a
	a, err := Decode(r.bytes())
	if err != nil {
		t.Fatal(err)
	}
	if got := a.Walk(2, "xa"); got != 2 {
		t.Errorf("from state 2: %d", got)
	}
}

func TestTooManyStatesAreALimit(t *testing.T) {
	a := &Automaton{Classes: 1, Next: make([]uint32, maximumStates16), Accept: make([]Accept, maximumStates16)}
	var limit *LimitError
	if _, err := a.Encode(); !errors.As(err, &limit) {
		t.Errorf("got %v", err)
	}
}

func TestTablesComeBack(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		a := compile(t, randomPatterns(r)...)
		data, err := a.Encode()
		if err != nil {
			t.Fatal(err)
		}
		decoded, err := Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(a, decoded) {
			t.Fatal("decoded it is another automaton")
		}
		if again, err := decoded.Encode(); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("encoded again it is other bytes (%v)", err)
		}
		if int(binary.BigEndian.Uint32(data[8:])) != len(data) || len(data)%8 != 0 {
			t.Fatalf("%d bytes, of which the header says %d", len(data), binary.BigEndian.Uint32(data[8:]))
		}
	}
}

func TestTablesAreFull(t *testing.T) {
	a := compile(t, globs(t, desktop...)...)
	data, err := a.Encode()
	if err != nil {
		t.Fatal(err)
	}
	tables, err := DecodeTables(data)
	if err != nil {
		t.Fatal(err)
	}
	if used := a.classCoding().length(); len(tables.Next) > used+used/10 {
		t.Errorf("%d places for %d transitions", len(tables.Next), used)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(small().bytes())
	r := small()
	differ(r, 0, 0, 1)
	f.Add(r.bytes())
	for _, patterns := range [][]Pattern{{None()}, globs(f, "/a/*", "/a/**.so", "/[^b]?"), {Concat(Literal("a"), OutOfBand())}} {
		data, err := compile(f, patterns...).Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		tables, err := DecodeTables(data)
		if err != nil {
			return
		}
		a, err := Decode(data)
		if err != nil {
			t.Fatalf("tables that are right, but no automaton: %v", err)
		}
		// The automaton is what the kernel's way through the tables is.
		for state := range uint32(min(len(a.Accept), 8)) {
			for b := range 256 {
				if got, want := a.Step(state, byte(b)), tables.kernelStep(state, byte(b)); got != want {
					t.Fatalf("from %d by %#x to %d, want %d", state, b, got, want)
				}
			}
		}
		if len(a.Accept) > 2000 {
			return
		}
		encoded, err := a.Encode()
		if err != nil && !a.trapped() {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		again, err := Decode(encoded)
		if err != nil {
			t.Fatalf("encoded it is refused: %v", err)
		}
		for start := range uint32(min(len(a.Accept), 4)) {
			if d := Compare(a, again, start, start, equal); d != nil {
				t.Fatalf("encoded it differs from %d on %q", start, d.Text)
			}
		}
	})
}

// kernelStep is the kernel's match_char.
func (t *Tables) kernelStep(state uint32, b byte) uint32 {
	for {
		base := t.Base[state]
		place := int(base&baseIndex) + t.index(int(b))
		if t.Check[place] == state {
			return t.Next[place]
		}
		state = t.Default[state]
		if base&baseDifferences == 0 {
			return state
		}
	}
}
