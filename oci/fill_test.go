// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"encoding"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// everything uses each kind of field that the specification has.
const everything = `{"ociVersion":"1.3.0","process":{"terminal":true,"consoleSize":{"height":25,"width":80},"user":{"uid":4294967295,"gid":1,"umask":18,"additionalGids":[5,6]},
"args":["a","\u2028\ud800"],"env":null,"cwd":"/","capabilities":{"bounding":["CAP_KILL"],"ambient":[]},"rlimits":[{"type":"RLIMIT_CORE","hard":18446744073709551615,"soft":0}],
"noNewPrivileges":false,"oomScoreAdj":-1000,"ioPriority":{"class":"IOPRIO_CLASS_IDLE","priority":7}},"root":{"path":"r","readonly":true},"hostname":"h","mounts":[{"destination":"/d","options":["ro"],
"uidMappings":[{"containerID":0,"hostID":1,"size":2}]},null],"hooks":{"poststop":[{"path":"/p","timeout":3}]},"annotations":{"a":"b","":""},"linux":{"sysctl":{"x":"1"},
"resources":{"devices":[{"allow":true,"major":-1,"access":"rwm"}],"memory":{"limit":-1},"cpu":{"shares":2,"idle":1},"pids":{"limit":10},"blockIO":{"weight":10,"weightDevice":[{"major":8,"minor":0,"weight":500}],
"throttleReadBpsDevice":[{"major":8,"minor":1,"rate":600}]},"hugepageLimits":[{"pageSize":"2MB","limit":9}],"unified":{"io.max":"x"},"rdma":{"mlx":{"hcaHandles":3}}},"namespaces":[{"type":"pid","path":"/p"}],
"devices":[{"path":"/dev/x","type":"c","major":1,"minor":2,"fileMode":438}],"seccomp":{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"architectures":["SCMP_ARCH_X86"],"syscalls":[{"names":["read"],
"action":"SCMP_ACT_ALLOW","args":[{"index":1,"value":18446744073709551615,"valueTwo":1,"op":"SCMP_CMP_EQ"}]}]},"timeOffsets":{"monotonic":{"secs":-5,"nanosecs":7}},"intelRdt":{"closID":"x"}}}`

// corpus is everything, and the configurations of engines.
func corpus(t testing.TB) [][]byte {
	t.Helper()
	texts := [][]byte{[]byte(everything), []byte(minimal)}
	paths, err := filepath.Glob("testdata/*.json")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no configurations: %v", err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, text)
	}
	return texts
}

// agree holds the filler against encoding/json, and reports whether it could fill.
func agree(t *testing.T, data []byte) bool {
	t.Helper()
	var tree map[string]any
	if decode(data, &tree) != nil || tree == nil || checkSpelling(tree, "", reflect.TypeFor[specs.Spec]()) != nil {
		return false
	}
	var fast filler
	var got, want specs.Spec
	if !fast.fill(tree, reflect.ValueOf(&got).Elem()) {
		return false
	}
	encoded, err := encode(tree)
	if err == nil {
		err = json.Unmarshal(encoded, &want)
	}
	if err != nil {
		t.Fatalf("filled, and encoding/json says: %v\n%s", err, data)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got  %+v\nwant %+v\n%s", got, want, data)
	}
	return true
}

func TestFillerAgreesWithEncodingJSON(t *testing.T) {
	for _, text := range corpus(t) {
		if !agree(t, text) {
			t.Errorf("it was left to encoding/json: %s", text)
		}
	}
	for name, text := range map[string]string{
		"Fraction": `{"process":{"user":{"uid":1.0}}}`, "Exponent": `{"process":{"user":{"uid":1e2}}}`, "Negative": `{"process":{"user":{"uid":-1}}}`, "TooLarge": `{"process":{"user":{"uid":4294967296}}}`,
		"TextForNumber": `{"process":{"user":{"uid":"1"}}}`, "NumberForText": `{"hostname":1}`, "ListForObject": `{"process":[]}`, "ObjectForList": `{"mounts":{}}`, "BoolForText": `{"hostname":true}`,
		"Anything": `{"windows":{"credentialSpec":{"a":1}}}`, "NoAnything": `{"windows":{"credentialSpec":null}}`, "WrongInMap": `{"annotations":{"a":1}}`, "WrongInEmbedded": `{"linux":{"resources":{"blockIO":{"weightDevice":[{"major":"8"}]}}}}`,
	} {
		if agree(t, []byte(text)) {
			t.Errorf("%s was filled", name)
		}
	}
}

func TestFillerSeesUnknownFields(t *testing.T) {
	for text, want := range map[string]bool{`{"hostname":"h"}`: false, `{"Hostname":"h"}`: true, `{"linux":{"x":1}}`: true, `{"annotations":{"x":"1"}}`: false,
		`{"mounts":[{},{"x":[]}]}`: true, `{"linux":{"resources":{"blockIO":{"weightDevice":[{"major":8,"weight":1}]}}}}`: false} {
		var tree map[string]any
		if err := decode([]byte(text), &tree); err != nil {
			t.Fatal(err)
		}
		var fast filler
		var spec specs.Spec
		if !fast.fill(tree, reflect.ValueOf(&spec).Elem()) || fast.unknown != want {
			t.Errorf("%s: unknown fields %t", text, fast.unknown)
		}
	}
}

// The filler knows nothing of types that read themselves, nor of fields without a name of their own.
func TestSpecificationHasNoTypesThatReadThemselves(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var walk func(kind reflect.Type)
	walk = func(kind reflect.Type) {
		if seen[kind] {
			return
		}
		seen[kind] = true
		for _, reader := range []reflect.Type{reflect.TypeFor[json.Unmarshaler](), reflect.TypeFor[encoding.TextUnmarshaler]()} {
			if reflect.PointerTo(kind).Implements(reader) {
				t.Errorf("%v reads itself", kind)
			}
		}
		switch kind.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			walk(kind.Elem())
		case reflect.Struct:
			for field := range kind.Fields() {
				if name := field.Tag.Get("json"); !field.Anonymous && (name == "" || name[0] == ',' || name == "-") {
					t.Errorf("%v.%s has the tag %q", kind, field.Name, name)
				}
				walk(field.Type)
			}
		}
	}
	walk(reflect.TypeFor[specs.Spec]())
	walk(reflect.TypeFor[specs.Process]())
	if len(seen) < 60 {
		t.Errorf("only %d types", len(seen))
	}
}

func FuzzFiller(f *testing.F) {
	for _, text := range corpus(f) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, data []byte) { agree(t, data) })
}
