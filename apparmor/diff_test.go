// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/apparmor/binary"
	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
)

// decodedFile reads a stream of testdata/diff, which apparmor_parser made of the text beside it.
func decodedFile(t *testing.T, name string) *binary.Policy {
	t.Helper()
	stream, err := os.ReadFile("testdata/diff/" + name)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := binary.Decode(stream)
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

func TestDiffNamesWhatChanged(t *testing.T) {
	found, err := Diff(decodedFile(t, "before.bin"), decodedFile(t, "after.bin"), DiffOptions{Witnesses: 12})
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(`
profile gone: profile: there / not there
profile same: file /: nothing / r
profile subject: mode: enforce / complain
profile subject: capability chown: allowed / allowed and logged
profile subject: capability kill: allowed / denied
profile subject: rlimit nofile: 1024 / 2048
profile subject: exec /usr/bin/other: does not attach / attaches
profile subject: change_profile other: nothing / change_profile onexec
profile subject: file /bin/zz: nothing / px -> first
profile subject: file /home/a/a: owner rw, others nothing / rw
profile subject: file /bin/moved: Px -> moved / Px -> elsewhere
profile subject: file /bin/shell: mix / Ux
profile subject: file /etc/quiet: nothing (does not log w) / nothing
profile subject: file /etc/changed: r / w
profile subject: change_profile onexec /bin/launch -> other: nothing / safe onexec
profile subject: link /var/link -> /var/target: l / owner l subset, others l
profile subject: umount /mnt/: umount / nothing
profile subject: pivot_root oldroot=/old/ /new/: nothing / pivot_root
profile subject: mount options=rw /src/ -> /mnt/: nothing / mount
profile subject: ptrace read peer=helper: read / trace
profile subject: signal send kill peer=helper: nothing / send
profile subject: network send inet dgram: nothing / everything
profile subject: dbus send bus=session path=/a: send / nothing
profile subject: dbus send bus=session path=/b: nothing / send`), "\n")
	var got []string
	for _, difference := range found {
		got = append(got, difference.String())
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestDiffOfAccessLeavesOutWhatIsLogged(t *testing.T) {
	found, err := Diff(decodedFile(t, "before.bin"), decodedFile(t, "after.bin"), DiffOptions{Access: true, Witnesses: 12})
	if err != nil {
		t.Fatal(err)
	}
	for _, difference := range found {
		if text := difference.String(); strings.Contains(text, "log") || strings.Contains(text, "quiet") {
			t.Errorf("%s", text)
		}
	}
	if len(found) != 22 {
		t.Errorf("%d differences, want all but two", len(found))
	}
}

func TestPolicyIsEqualToItselfAndToItsOtherOrder(t *testing.T) {
	for _, name := range []string{"before.bin", "after.bin"} {
		policy, other := decodedFile(t, name), decodedFile(t, name)
		slices.Reverse(other.Profiles)
		if found, err := Diff(policy, other, DiffOptions{}); err != nil || found != nil {
			t.Errorf("%s: %v %v", name, found, err)
		}
	}
}

// The same text, its permissions in the accept words and in a table: kernels decide alike.
func TestFormatsOfPermissionsAreEqual(t *testing.T) {
	found, err := Diff(decodedFile(t, "words.bin"), decodedFile(t, "rows.bin"), DiffOptions{})
	if err != nil || found != nil {
		t.Errorf("%v %v", found, err)
	}
}

func TestExecTargetsAreComparedByName(t *testing.T) {
	policy, other := decodedFile(t, "after.bin"), decodedFile(t, "after.bin")
	rules := subject(t, other).File
	// The same targets in the other order, and the indices in the accept words with them.
	slices.Reverse(rules.Targets)
	last := uint32(len(rules.Targets) - 1)
	if last == 0 {
		t.Fatal("one exec target is no order")
	}
	for i, accept := range rules.Automaton.Accept {
		for _, shift := range []int{10, 24} {
			if index := accept.One >> shift & 0xf; index >= 4 {
				accept.One = accept.One&^(0xf<<shift) | (last-(index-4)+4)<<shift
			}
		}
		rules.Automaton.Accept[i] = accept
	}
	if found, err := Diff(policy, other, DiffOptions{}); err != nil || found != nil {
		t.Errorf("%v %v", found, err)
	}
	rules.Targets[0] = "renamed"
	if found, err := Diff(policy, other, DiffOptions{}); err != nil || len(found) != 1 || !strings.Contains(found[0].B, "renamed") {
		t.Errorf("of a renamed target: %v %v", found, err)
	}
}

func subject(t *testing.T, policy *binary.Policy) *binary.Profile {
	t.Helper()
	for _, profile := range policy.Profiles {
		if profile.Name == "subject" {
			return profile
		}
	}
	t.Fatal("no profile subject")
	return nil
}

func TestUnmediatedClassIsADifference(t *testing.T) {
	policy, other := decodedFile(t, "before.bin"), decodedFile(t, "before.bin")
	rules := subject(t, other).PolicyDB
	rules.Automaton.Next[int(startState(rules))*rules.Automaton.Classes+int(rules.Automaton.Class[classMount])] = 0
	found, err := Diff(policy, other, DiffOptions{})
	if err != nil || len(found) != 1 || found[0].String() != "profile subject: mount: mediated / not mediated: everything is allowed" {
		t.Errorf("%v %v", found, err)
	}
}

// Every single bit of what the states of file rules grant is a difference, or one that no kernel asks for.
func TestDiffSeesEveryBitThatDecides(t *testing.T) {
	policy := decodedFile(t, "before.bin")
	file := subject(t, policy).File
	state := file.Automaton.Walk(dfa.Start, "/etc/same")
	for bit := range 32 {
		other := decodedFile(t, "before.bin")
		subject(t, other).File.Automaton.Accept[state].One ^= 1 << bit
		found, err := Diff(policy, other, DiffOptions{})
		if err != nil {
			t.Fatal(err)
		}
		// The exec bits 7 to 13 of either half say how x is done, which is not allowed here; 28 and 29 mean nothing.
		idle := bit >= 7 && bit <= 13 || bit >= 21 && bit <= 29
		if (len(found) == 0) != idle {
			t.Errorf("bit %d: %v", bit, found)
		}
		if len(found) > 0 && !strings.Contains(found[0].String(), "/etc/same") {
			t.Errorf("bit %d: %v", bit, found)
		}
	}
}

func TestComparisonOfTooMuchIsAnError(t *testing.T) {
	// Two counters whose lengths have no common divisor are at every pair of places.
	counter := func(length int) *dfa.Automaton {
		a := &dfa.Automaton{Classes: 1, Next: make([]uint32, length+1), Accept: make([]dfa.Accept, length+1)}
		for i := 1; i <= length; i++ {
			a.Next[i] = uint32(i%length + 1)
		}
		return a
	}
	walk := comparison{
		a: counter(47), b: counter(53), start: place{a: 1, b: 1}, part: func(place, byte) (uint16, bool) { return 0, true },
		differ: func(place) (string, string, bool) { return "", "", false },
	}
	for _, limit := range []int{47 * 53, 0} {
		walk.limit = limit
		if _, err := walk.run(1); err != nil {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
	walk.limit = 47*53 - 1
	var limited *dfa.LimitError
	if _, err := walk.run(1); !errors.As(err, &limited) {
		t.Errorf("limit %d: %v", walk.limit, err)
	}
}

func TestMountsAreComparedAsTheKernelAsks(t *testing.T) {
	const (
		remount   = "\x06"
		bind      = "\x0d"
		move      = "\x0e"
		recursive = "\x0f"
		private   = "\x13"
	)
	nothing := func() (a, b permissions) { return permissions{}, permissions{} }
	walks := func() (a, b permissions) { return permissions{allow: mountContinue}, permissions{} }
	for name, row := range map[string]struct {
		text  string
		look  func() (a, b permissions)
		asked bool
	}{
		"NewMount":                   {"/m\x00/dev\x00ext4\x00\x01\x02", nothing, true},
		"NewMountWithoutFlags":       {"/m\x00/dev\x00ext4\x00", nothing, true},
		"DataThatDecides":            {"/m\x00/dev\x00ext4\x00\x01\x00data", walks, true},
		"DataThatDoesNot":            {"/m\x00/dev\x00ext4\x00\x01\x00data", nothing, false},
		"DataOfABindMount":           {"/m\x00/dev\x00\x00" + bind + "\x00data", walks, false},
		"Bind":                       {"/m\x00/dev\x00\x00" + bind, nothing, true},
		"BindRecursively":            {"/m\x00/dev\x00\x00" + bind + recursive, nothing, true},
		"BindReadOnly":               {"/m\x00/dev\x00\x00\x01" + bind, nothing, false}, // the kernel leaves the other flags out
		"BindOfNothing":              {"/m\x00\x00\x00" + bind, nothing, false},
		"BindWithType":               {"/m\x00/dev\x00ext4\x00" + bind, nothing, false},
		"Remount":                    {"/m\x00\x00\x00\x01" + remount, nothing, true},
		"RemountOfABind":             {"/m\x00\x00\x00\x01" + remount + bind, nothing, true},
		"RemountOfADevice":           {"/m\x00/dev\x00\x00" + remount, nothing, false},
		"Move":                       {"/m\x00/old\x00\x00" + move, nothing, true},
		"MoveRecursively":            {"/m\x00/old\x00\x00" + move + recursive, nothing, false},
		"Propagation":                {"/m\x00\x00\x00" + private, nothing, true},
		"PropagationRecursively":     {"/m\x00\x00\x00" + recursive + private, nothing, true},
		"PropagationAndAnotherFlag":  {"/m\x00\x00\x00\x01" + private, nothing, false},
		"FlagsThatDescend":           {"/m\x00/dev\x00ext4\x00\x02\x01", nothing, false},
		"FlagOfTheKernelsOwn":        {"/m\x00/dev\x00ext4\x00\x17", nothing, false},
		"ByteThatIsNoFlag":           {"/m\x00/dev\x00ext4\x00\xfe", nothing, false},
		"TypeWithoutFlags":           {"/m\x00/dev\x00ext4", nothing, false},
		"DataThatNeitherSideReads":   {"/m\x00/dev\x00ext4\x00\x00x", func() (a, b permissions) { return permissions{allow: mountMount}, permissions{} }, false},
		"PivotRoot":                  {"/new\x00/old", nothing, true},
		"Umount":                     {"/m", nothing, true},
		"NothingBehindNewMountsData": {"/m\x00/dev\x00ext4\x00\x00a\x00b", walks, false},
	} {
		part, ever := mountPart{}, true
		for i := 0; i < len(row.text) && ever; i++ {
			part, ever = unpackMount(part.pack()).next(row.text[i], row.look)
		}
		if asked := ever && part.asked() != 0; asked != row.asked {
			t.Errorf("%s: asked %v, want %v", name, asked, row.asked)
		}
	}
}

// A policy, whatever it is, is equal to itself, and can be compared with another.
func FuzzDiff(f *testing.F) {
	for _, name := range []string{"before.bin", "words.bin"} {
		stream, err := os.ReadFile("testdata/diff/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(stream)
	}
	stream, err := os.ReadFile("testdata/diff/after.bin")
	if err != nil {
		f.Fatal(err)
	}
	other, err := binary.Decode(stream)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		policy, err := binary.Decode(stream)
		if err != nil {
			return
		}
		var limited *dfa.LimitError
		if found, err := Diff(policy, policy, DiffOptions{}); found != nil || err != nil && !errors.As(err, &limited) {
			t.Errorf("of itself: %v %v", found, err)
		}
		if _, err := Diff(policy, other, DiffOptions{}); err != nil && !errors.As(err, &limited) {
			t.Error(err)
		}
	})
}
