// SPDX-License-Identifier: Apache-2.0

// Package bulkhead_test holds the rules that the source itself keeps: who may import whom, who may touch the machine, and how large things
// may grow.
package bulkhead_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/bulkhead-project/bulkhead"

// tiers of packages; each may import those of lower tiers only. A package that is not listed has the tier of the nearest listed one above it.
var tiers = map[string]int{
	"source": 0, "kernel": 0,
	"selinux": 1, "apparmor": 1, "seccomp": 1, "landlock": 1, "bpflsm": 1, "shield": 1,
	"inside": 2,
	"plan":   3,
	"oci":    4, "oci/image": 4, "evidence": 4, "libvirt": 4,
	"enforce":    5,
	"container":  6,
	"standalone": 7,
	"cmd":        8,
}

const (
	layerTier     = 1
	maximumFile   = 600 // lines
	maximumFolded = 80  // lines of a function
)

// layerSubpackageUsers may use the packages beneath a layer; for others they are the layer's own affair.
var layerSubpackageUsers = map[string][]string{
	"selinux/mcs": {"enforce", "container", "standalone", "cmd"}, "selinux/policydb": {"container", "cmd"}, "selinux/cil": {"cmd"}, "selinux/filecontexts": {"cmd"}, "selinux/container": {"container", "cmd"}, "selinux/modules": {"container", "cmd"}, "apparmor/binary": {"cmd"}, "apparmor/syntax": {"cmd"}, "apparmor/dfa": {"cmd"}, "seccomp/bpf": {"cmd"}, "seccomp/syscalls": {"cmd"}, "seccomp/reach": {"cmd"},
	"shield/key": {"cmd"}, "shield/stream": {"standalone", "cmd"}, "shield/secret": {"cmd"}, "shield/anchor": {"enforce", "cmd"}, "shield/tpm": {"cmd"}, "shield/attest": {"cmd"}, "shield/store": {"enforce", "cmd"}, "shield/volume": {"cmd"}, "shield/process": {"enforce", "cmd"}, "shield/fuse": {"enforce", "cmd"},

	"selinux/mcs/etcd": {"cmd"},
}

// machineImports are the packages by which code touches the machine.
var machineImports = []string{"os", "os/exec", "os/signal", "os/user", "net", "net/http", "syscall", "golang.org/x/sys/unix", "golang.org/x/term", "unsafe", "plugin", "embed"}

// machineTrees are where every file may.
var machineTrees = []string{"kernel", "enforce", "container", "cmd", "internal/vm", "test", "seccomp/syscalls/generate"}

// exceptions are files that import a package of machineImports all the same.
var exceptions = map[string][]string{
	"selinux/container/container.go": {"embed"},           // the policy is CIL, in files of its own
	"oci/image/registry.go":          {"net", "net/http"}, // parses an address and wraps a transport; the requests are the registry library's
}

// longFunctions may be longer than the limit, each for a reason.
var longFunctions = map[string]string{}

// file is one parsed source file.
type file struct {
	path string // from the root of the module
	text []byte
	tree *ast.File
	set  *token.FileSet
}

func (f file) directory() string { return path.Dir(f.path) }
func (f file) isTest() bool      { return strings.HasSuffix(f.path, "_test.go") }

func sources(t *testing.T) []file {
	t.Helper()
	var files []file
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "testdata" || len(entry.Name()) > 1 && strings.HasPrefix(entry.Name(), ".")) {
			return filepath.SkipDir
		}
		if entry.IsDir() || filepath.Ext(name) != ".go" {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		tree, err := parser.ParseFile(set, name, text, parser.ParseComments)
		if err != nil {
			return err
		}
		files = append(files, file{filepath.ToSlash(name), text, tree, set})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 50 {
		t.Fatalf("only %d Go files found", len(files))
	}
	return files
}

func (f file) imports() []string {
	var paths []string
	for _, spec := range f.tree.Imports {
		name, _ := strconv.Unquote(spec.Path.Value)
		paths = append(paths, name)
	}
	return paths
}

// tierOf returns the tier of a package by its directory, and the listed package that gave it.
func tierOf(directory string) (tier int, listed string, ok bool) {
	for name := directory; name != "."; name = path.Dir(name) {
		if tier, ok := tiers[name]; ok {
			return tier, name, true
		}
	}
	return 0, "", false
}

// importFault says why the package in directory may not import the other, or "".
func importFault(directory, imported string) string {
	from, fromRoot, ok := tierOf(directory)
	if !ok {
		return "" // tests and tools
	}
	to, toRoot, ok := tierOf(imported)
	switch {
	case !ok:
		return "a part of the program imports what is outside its tiers"
	case fromRoot == "inside" && to == layerTier && toRoot != "landlock":
		return "what runs in the container stays small: of the layers inside imports landlock only"
	case fromRoot == toRoot:
		return ""
	case from == layerTier && to == layerTier:
		return "the layers never import each other"
	case to == layerTier && imported != toRoot && !slices.Contains(layerSubpackageUsers[imported], fromRoot):
		return "a package beneath a layer is the layer's own affair"
	case to >= from:
		return fmt.Sprintf("%s (tier %d) is not below %s (tier %d)", toRoot, to, fromRoot, from)
	}
	return ""
}

func TestImportsGoOneWay(t *testing.T) {
	for _, f := range sources(t) {
		if f.isTest() {
			continue
		}
		for _, name := range f.imports() {
			imported, own := strings.CutPrefix(name, module+"/")
			if !own {
				continue
			}
			if fault := importFault(f.directory(), imported); fault != "" {
				t.Errorf("%s imports %s: %s", f.path, imported, fault)
			}
		}
	}
}

// trusted are the only programs and packages that see the keys and the plaintext of a shielded volume while it is served, and from outside of this module.
// The network is in the list for the FUSE library, which speaks to fusermount by it; the process's filter knows no socket.
var trusted = []string{"shield/anchor", "shield/fuse", "shield/process", "shield/secret", "shield/store", "shield/volume", "landlock",
	"github.com/hanwen/go-fuse/v2/fuse", "golang.org/x/sys/unix"}

func TestTheShieldProcessStaysSmall(t *testing.T) {
	imports := map[string][]string{}
	for _, f := range sources(t) {
		if !f.isTest() {
			imports[f.directory()] = append(imports[f.directory()], f.imports()...)
		}
	}
	if len(imports["cmd/bulkhead-shield"]) == 0 {
		t.Fatal("cmd/bulkhead-shield imports nothing")
	}
	seen := map[string]bool{}
	var visit func(directory string)
	visit = func(directory string) {
		for _, name := range imports[directory] {
			imported, own := strings.CutPrefix(name, module+"/")
			if seen[imported] {
				continue
			}
			seen[imported] = true
			switch outside := strings.Contains(imported, "."); {
			case (own || outside) && !slices.Contains(trusted, imported):
				t.Errorf("%s, a part of the shield process, imports %s", directory, imported)
			case !own && !outside && (strings.HasPrefix(name, "net") || name == "os/exec" || name == "plugin"):
				t.Errorf("%s, a part of the shield process, imports %s", directory, name)
			case own:
				visit(imported)
			}
		}
	}
	visit("cmd/bulkhead-shield")
	for _, name := range trusted {
		if !seen[name] {
			t.Errorf("%s is trusted and not used", name)
		}
	}
}

func TestImportRuleSeesViolations(t *testing.T) {
	for name, edge := range map[string][2]string{
		"LayerImportsLayer":            {"seccomp", "selinux"},
		"SubpackageImportsOtherLayer":  {"selinux/cil", "apparmor"},
		"InsideImportsMoreThanOne":     {"inside", "seccomp"},
		"PlanImportsEnforce":           {"plan", "enforce"},
		"PlanReachesBeneathALayer":     {"plan", "selinux/mcs"},
		"OCIImportsEvidence":           {"oci", "evidence"},
		"KernelImportsALayer":          {"kernel", "landlock"},
		"ContainerImportsStandalone":   {"container", "standalone"},
		"ProgramImportsTheTestHarness": {"container", "test/harness"},
	} {
		if importFault(edge[0], edge[1]) == "" {
			t.Errorf("%s: %s may import %s", name, edge[0], edge[1])
		}
	}
	for _, edge := range [][2]string{{"plan", "selinux"}, {"inside", "landlock"}, {"enforce", "selinux/mcs"}, {"selinux", "selinux/cil"}, {"cmd/bulkhead", "oci/image"}} {
		if fault := importFault(edge[0], edge[1]); fault != "" {
			t.Errorf("%s may not import %s: %s", edge[0], edge[1], fault)
		}
	}
}

func TestOnlyNamedFilesTouchTheMachine(t *testing.T) {
	for _, f := range sources(t) {
		if f.isTest() || strings.HasSuffix(f.path, "_linux.go") || slices.ContainsFunc(machineTrees, func(tree string) bool { return strings.HasPrefix(f.path, tree+"/") }) {
			continue
		}
		for _, name := range f.imports() {
			if slices.Contains(machineImports, name) && !slices.Contains(exceptions[f.path], name) {
				t.Errorf("%s imports %s: only *_linux.go files and %v touch the machine", f.path, name, machineTrees)
			}
		}
	}
}

func TestLibrariesKeepNoStateAndNeverPrint(t *testing.T) {
	for _, f := range sources(t) {
		if f.isTest() || f.tree.Name.Name == "main" || strings.HasPrefix(f.path, "internal/") || strings.HasPrefix(f.path, "test/") {
			continue
		}
		for _, name := range f.imports() {
			if name == "log" || name == "log/slog" {
				t.Errorf("%s imports %s: libraries never log", f.path, name)
			}
		}
		ast.Inspect(f.tree, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.FuncDecl:
				if node.Name.Name == "init" && node.Recv == nil {
					t.Errorf("%s: func init", f.set.Position(node.Pos()))
				}
			case *ast.SelectorExpr:
				if of, ok := node.X.(*ast.Ident); ok && (of.Name == "fmt" && strings.HasPrefix(node.Sel.Name, "Print") || of.Name == "os" && node.Sel.Name == "Exit") {
					t.Errorf("%s: %s.%s in a library", f.set.Position(node.Pos()), of.Name, node.Sel.Name)
				}
			}
			return true
		})
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	documented := map[string]int{}
	for _, f := range sources(t) {
		if f.isTest() {
			continue
		}
		documented[f.directory()] += 0
		if f.tree.Doc == nil {
			continue
		}
		documented[f.directory()]++
		first := f.tree.Doc.Text()
		if name := f.tree.Name.Name; name != "main" && !strings.HasPrefix(first, "Package "+name+" ") || name == "main" && !strings.HasPrefix(first, "Command ") {
			t.Errorf("%s: the package comment starts %.40q", f.path, first)
		}
	}
	for directory, comments := range documented {
		if comments != 1 {
			t.Errorf("%s: %d package comments, where one is wanted", directory, comments)
		}
	}
}

func TestFilesAreLicensedFormattedAndShort(t *testing.T) {
	for _, f := range sources(t) {
		if !bytes.HasPrefix(f.text, []byte("// SPDX-License-Identifier: Apache-2.0\n\n")) && !generated(f) {
			t.Errorf("%s: the first line is not the SPDX identifier, followed by an empty one", f.path)
		}
		if formatted, err := format.Source(f.text); err != nil || !bytes.Equal(formatted, f.text) {
			t.Errorf("%s: not as gofmt writes it", f.path)
		}
		if lines := bytes.Count(f.text, []byte("\n")); lines > maximumFile && !generated(f) {
			t.Errorf("%s: %d lines, more than %d", f.path, lines, maximumFile)
		}
	}
}

func generated(f file) bool { return ast.IsGenerated(f.tree) }

func TestFunctionsAreShort(t *testing.T) {
	used := map[string]bool{}
	for _, f := range sources(t) {
		for _, declaration := range f.tree.Decls {
			function, ok := declaration.(*ast.FuncDecl)
			if !ok || generated(f) {
				continue
			}
			lines := f.set.Position(function.End()).Line - f.set.Position(function.Pos()).Line + 1
			name := f.directory() + "." + function.Name.Name
			if lines > maximumFolded && longFunctions[name] == "" {
				t.Errorf("%s: %s has %d lines, more than %d", f.path, function.Name.Name, lines, maximumFolded)
			}
			used[name] = used[name] || lines > maximumFolded
		}
	}
	for name := range longFunctions {
		if !used[name] {
			t.Errorf("%s is on the list of long functions and is not one", name)
		}
	}
}

func TestEveryDependencyHasItsReason(t *testing.T) {
	text, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	rationale, err := os.ReadFile("RATIONALE.md")
	if err != nil {
		t.Fatal(err)
	}
	direct, replaced := dependencies(string(text))
	if replaced {
		t.Error("go.mod has a replace directive")
	}
	if len(direct) < 5 {
		t.Errorf("only %d direct dependencies found in go.mod", len(direct))
	}
	for _, name := range direct {
		if !bytes.Contains(rationale, []byte(name)) {
			t.Errorf("RATIONALE.md does not say why %s is used", name)
		}
	}
}

// dependencies returns the modules that go.mod requires directly, and whether anything is replaced.
func dependencies(text string) (direct []string, replaced bool) {
	block := ""
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		switch {
		case words[0] == "replace":
			replaced = true
		case len(words) == 2 && words[1] == "(":
			block = words[0]
			continue
		case words[0] == ")":
			block = ""
			continue
		case words[0] == "require":
			words = words[1:]
		case block != "require":
			continue
		}
		if block == "replace" {
			replaced = true
		}
		if len(words) >= 2 && !strings.Contains(line, "// indirect") {
			direct = append(direct, words[0])
		}
	}
	return direct, replaced
}

func TestDependenciesAreFound(t *testing.T) {
	direct, replaced := dependencies("module m\n\ngo 1.26\n\nrequire a.org/x v1.0.0\n\nrequire (\n\tb.org/y v1.0.0\n\tc.org/z v1.0.0 // indirect\n)\n")
	if !slices.Equal(direct, []string{"a.org/x", "b.org/y"}) || replaced {
		t.Errorf("got %v, replaced %v", direct, replaced)
	}
	for _, text := range []string{"replace a => ../a\n", "replace (\n\ta => ../a\n)\n"} {
		if _, replaced := dependencies(text); !replaced {
			t.Errorf("%q replaces nothing", text)
		}
	}
}
