// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

// corpusSize is how many profiles testdata/profiles has. Those of other tests that need profiles are there, too: docker.json is not, since its
// library has it.
const corpusSize = 200

// writer makes up a profile. Each number gives another one, and each field, with each of its values, is in some of them.
type writer struct {
	*rand.Rand
	number int
}

// object joins fields that are not empty, in an order of its own.
func (w *writer) object(fields ...string) string {
	fields = slices.DeleteFunc(fields, func(field string) bool { return field == "" })
	w.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	return "{" + strings.Join(fields, ", ") + "}"
}

// maybe returns the field at times.
func (w *writer) maybe(name, value string) string {
	switch w.IntN(8) {
	case 0, 1, 2:
		return field(name, value)
	case 3:
		return field(name, "null")
	}
	return ""
}

func field(name, value string) string { return strconv.Quote(name) + ": " + value }

func array(values ...string) string { return "[" + strings.Join(values, ", ") + "]" }

func quotedAll[T ~string](values []T) (quoted []string) {
	for _, v := range values {
		quoted = append(quoted, strconv.Quote(string(v)))
	}
	return quoted
}

// some returns some of a list, at least one.
func some[T any](w *writer, list []T, most int) []T {
	list = slices.Clone(list)
	w.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list[:1+w.IntN(min(most, len(list)))]
}

// errno returns what an action that takes an errno may say of it, by the names that the fields have at that level.
func (w *writer) errno(action, number, name string) string {
	if action != "SCMP_ACT_ERRNO" && action != "SCMP_ACT_TRACE" {
		return w.nothing(number)
	}
	switch w.IntN(5) {
	case 0:
		return field(number, strconv.Itoa(w.IntN(134)))
	case 1:
		return field(name, strconv.Quote(errnos[w.IntN(len(errnos))].name))
	case 2:
		return field(number, "38") + ", " + field(name, `"ENOSYS"`)
	case 3:
		return field(name, `"13"`)
	}
	return w.nothing(number)
}

// nothing is a field that is not there, or null.
func (w *writer) nothing(name string) string {
	if w.IntN(6) == 0 {
		return field(name, "null")
	}
	return ""
}

func (w *writer) filter() string {
	capabilities := strings.Fields(knownCapabilities)
	for i := range capabilities {
		capabilities[i] = "CAP_" + capabilities[i]
	}
	var machines []string
	for _, known := range architectureNames {
		machines = append(machines, known.name)
	}
	for _, abi := range syscalls.ABIs() {
		machines = append(machines, abi.Name)
	}
	kernel := fmt.Sprintf("%q", fmt.Sprintf("%d.%d", 3+w.IntN(5), w.IntN(20)))
	return w.object(w.maybe("caps", array(quotedAll(some(w, capabilities, 3))...)), w.maybe("arches", array(quotedAll(some(w, machines, 6))...)), w.maybe("minKernel", kernel))
}

// argument has values around which something changes for the kernel's types.
func (w *writer) argument() string {
	values := []uint64{0, 1, 2, 9, 16, 38, 40, 0x5412, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32, 1<<63 - 1, 1 << 63, 1<<64 - 1}
	value := strconv.FormatUint(values[w.IntN(len(values))], 10)
	op := operatorNames[w.IntN(len(operatorNames))].name
	second := ""
	if op == "SCMP_CMP_MASKED_EQ" || w.IntN(3) == 0 {
		second = field("valueTwo", strconv.FormatUint(values[w.IntN(len(values))], 10))
		if op != "SCMP_CMP_MASKED_EQ" {
			second = field("valueTwo", "0")
		}
	}
	width := ""
	if w.IntN(4) == 0 {
		width = field("width", []string{"32", "64"}[w.IntN(2)])
	}
	return w.object(field("index", strconv.Itoa(w.IntN(6))), field("value", value), second, field("op", strconv.Quote(op)), width)
}

// entry is one element of syscalls. Entries with conditions name few calls, so that programs stay short.
func (w *writer) entry(notify bool) string {
	var all []string
	for call := range syscalls.Calls() {
		all = append(all, call.String())
	}
	args, most := w.nothing("args"), 25
	switch w.IntN(4) {
	case 0:
		args = field("args", "[]")
	case 1, 2:
		var list []string
		for range 1 + w.IntN(3) {
			list = append(list, w.argument())
		}
		args, most = field("args", array(list...)), 3
	}
	names := quotedAll(some(w, all, most))
	if w.IntN(10) == 0 {
		names[0] = strings.Replace(names[0], "e", `\u0065`, 1)
	}
	named := field("names", array(names...))
	if len(names) == 1 && w.IntN(2) == 0 {
		named = field("name", names[0])
	}
	action := actionNames[w.IntN(len(actionNames)-1)].name
	if notify {
		action = "SCMP_ACT_NOTIFY"
	}
	return w.object(named, field("action", strconv.Quote(action)), args, w.errno(action, "errnoRet", "errno"), w.maybe("comment", `"why \"so\" \ud83d\udd12"`),
		w.maybe("includes", w.filter()), w.maybe("excludes", w.filter()))
}

// profile is the whole text.
func (w *writer) profile() string {
	action := actionNames[w.number%(len(actionNames)-1)].name // NOTIFY, the last, cannot be the default
	notifies := w.number%5 == 0
	var entries []string
	for range w.IntN(9) {
		entries = append(entries, w.entry(false))
	}
	var flags []string
	for _, known := range flagNames {
		if w.IntN(2) == 0 && (notifies || known.value != FlagWaitKillableRecv) {
			flags = append(flags, strconv.Quote(known.name))
		}
	}
	listener := ""
	if notifies {
		entries = append(entries, w.entry(true))
		listener = field("listenerPath", `"/run/listener.sock"`) + ", " + w.object(field("listenerMetadata", `"m"`))[1:]
		listener = strings.TrimSuffix(listener, "}")
	}
	fields := []string{field("defaultAction", strconv.Quote(action)), w.errno(action, "defaultErrnoRet", "defaultErrno"), w.abis(), w.maybe("flags", array(flags...)), listener}
	if len(entries) > 0 || w.IntN(2) == 0 {
		fields = append(fields, field("syscalls", array(entries...)))
	}
	return w.object(fields...)
}

// abis is architectures or archMap.
func (w *writer) abis() string {
	var names []string
	for _, abi := range syscalls.ABIs() {
		names = append(names, strconv.Quote(abi.OCI))
	}
	switch w.IntN(4) {
	case 0:
		return w.maybe("architectures", "[]")
	case 1:
		return field("architectures", array(some(w, names, 8)...))
	}
	var machines []string
	for _, name := range some(w, names, 6) {
		machines = append(machines, w.object(field("architecture", name), w.maybe("subArchitectures", array(some(w, names, 4)...))))
	}
	return field("archMap", array(machines...))
}

// corpus returns the texts of the profiles by the names of their files.
func corpus(t testing.TB) map[string][]byte {
	t.Helper()
	texts := map[string][]byte{}
	for i := range corpusSize {
		w := &writer{Rand: rand.New(rand.NewPCG(uint64(i), 200)), number: i}
		text := []byte(w.profile() + "\n")
		if i%4 == 0 {
			var indented strings.Builder
			encoder := json.NewEncoder(&indented)
			encoder.SetIndent("", []string{"\t", " "}[i/4%2])
			encoder.SetEscapeHTML(false)
			if err := encoder.Encode(json.RawMessage(text)); err != nil {
				t.Fatalf("profile %d: %v\n%s", i, err, text)
			}
			text = []byte(indented.String())
		}
		texts[fmt.Sprintf("%03d.json", i)] = text
	}
	return texts
}

func TestCorpusIsAsItWasMade(t *testing.T) {
	for name, text := range corpus(t) {
		golden(t, filepath.Join("profiles", name), text)
	}
}

// shipped returns every profile in testdata/profiles by its name.
func shipped(t testing.TB) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob("testdata/profiles/*.json")
	if err != nil || len(paths) <= corpusSize {
		t.Fatalf("%d profiles, %v", len(paths), err)
	}
	texts := map[string][]byte{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.Base(path)] = text
	}
	return texts
}

// TestCorpusCoversEveryField looks for each name that a profile can have.
func TestCorpusCoversEveryField(t *testing.T) {
	var all strings.Builder
	for _, text := range corpus(t) {
		all.Write(text)
	}
	var wanted []string
	for _, fields := range [][]string{profileFields, machineFields, groupFields, argsFields, filterFields} {
		for _, name := range fields {
			wanted = append(wanted, strconv.Quote(name)+":")
		}
	}
	for _, known := range actionNames {
		wanted = append(wanted, `"action": "`+known.name+`"`)
		if known.value != Notify {
			wanted = append(wanted, `"defaultAction": "`+known.name+`"`)
		}
	}
	for _, known := range operatorNames {
		wanted = append(wanted, `"op": "`+known.name+`"`)
	}
	for _, known := range flagNames {
		wanted = append(wanted, `"`+known.name+`"`)
	}
	for _, abi := range syscalls.ABIs() {
		wanted = append(wanted, `"architecture": "`+abi.OCI+`"`, `"`+abi.Name+`"`)
	}
	for _, known := range architectureNames {
		wanted = append(wanted, `"`+known.name+`"`)
	}
	for index := range 6 {
		wanted = append(wanted, fmt.Sprintf(`"index": %d`, index))
	}
	wanted = append(wanted, `"width": 32`, `"width": 64`, `"args": []`, `"args": null`, `"includes": null`, `"includes": {}`, `"flags": []`, `"flags": null`, `"minKernel": null`, `\u00`)
	for _, name := range strings.Fields(knownCapabilities) {
		wanted = append(wanted, `"CAP_`+name+`"`)
	}
	for _, text := range wanted {
		if !strings.Contains(all.String(), text) {
			t.Errorf("no profile has %s", text)
		}
	}
}

// machines are what profiles are resolved for: each ABI as the native one.
func machines() (containers []Target) {
	for _, abi := range syscalls.ABIs() {
		containers = append(containers, Target{abi.Name, dockerCapabilities, Version{Major: 6, Minor: 18}}, Target{abi.Name, nil, Version{Major: 4, Minor: 4}})
	}
	return containers
}

// TestShippedProfilesResolve also writes each policy in the OCI form and reads it back: the rules are the same, but for what that form cannot say.
func TestShippedProfilesResolve(t *testing.T) {
	rules, compared := 0, 0
	for name, text := range shipped(t) {
		profile := parsed(t, string(text))
		for _, container := range machines() {
			policy, _, err := profile.Resolve(container)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			rules += len(policy.Rules)
			written, err := json.Marshal(policy.OCI())
			if err != nil {
				t.Fatal(err)
			}
			again, _ := resolved(t, string(written), container)
			if slices.ContainsFunc(policy.Rules, hasWidth) {
				continue
			}
			compared++
			if want := flattened(policy); !reflect.DeepEqual(flattened(again), want) {
				t.Fatalf("%s for %s: %s\nreads back as\n%+v\nwant\n%+v", name, container.Architecture, written, again, want)
			}
		}
	}
	if rules < 10000 || compared < 2000 {
		t.Errorf("%d rules in all, %d policies compared", rules, compared)
	}
}

// hasWidth reports whether a rule says how many bits count, which the OCI form has no place for.
func hasWidth(rule Rule) bool {
	return slices.ContainsFunc(rule.Conditions, func(c Condition) bool { return c.Width != 0 })
}

// flattened leaves out of a policy what its OCI form does not tell: places, names of calls that others have too, and the newest of the groups
// that do not apply.
func flattened(policy *Policy) *Policy {
	flat := *policy
	flat.Newest = Version{}
	flat.Flags &^= FlagSync // stands for no flags
	flat.Rules = slices.Clone(policy.Rules)
	for i := range flat.Rules {
		flat.Rules[i].Place, flat.Rules[i].Names = Place{}, canonical(flat.Rules[i].Names)
	}
	return &flat
}

// canonical spells names as the kernel does.
func canonical(names []string) (spelt []string) {
	for _, name := range names {
		call, _ := syscalls.Lookup(name)
		spelt = append(spelt, call.String())
	}
	return spelt
}
