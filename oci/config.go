// SPDX-License-Identifier: Apache-2.0

// Package oci is the boundary to OCI runtimes: it reads a config.json into a plan.Request, writes a plan.Compiled back into it, and knows
// the command lines of runc and crun.
//
// A config.json is kept as the tree of JSON values that it is, so that fields which this package has never heard of survive the rewrite.
// Source: the OCI runtime specification 1.3, config.md and config-linux.md.
package oci

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// MaximumConfig is the size in bytes over which a config.json is refused. Engines write some 20,000.
const MaximumConfig = 8 << 20

// Config is one config.json.
type Config struct {
	tree    map[string]any
	Spec    specs.Spec // the same, as far as the specification knows it
	seccomp []byte     // linux.seccomp as it is written, at its line and column; nil: none
}

// ConfigError is a config.json that cannot be used as it stands.
type ConfigError struct{ Err error }

func (e *ConfigError) Error() string { return "config.json: " + e.Err.Error() }

func (e *ConfigError) Unwrap() error { return e.Err }

// Parse reads a config.json. Errors are *ConfigError, and name the line and column, or the field.
func Parse(data []byte) (*Config, error) {
	config, err := parse(data)
	if err != nil {
		return nil, &ConfigError{err}
	}
	return config, nil
}

func parse(data []byte) (*Config, error) {
	if len(data) > MaximumConfig {
		return nil, fmt.Errorf("larger than %d bytes", MaximumConfig)
	}
	config := &Config{}
	if err := decode(data, &config.tree); err != nil {
		return nil, err
	}
	if config.tree == nil {
		return nil, errors.New("null is not a configuration")
	}
	err := reread(data, config.tree, &config.Spec)
	if err != nil {
		return nil, err
	}
	if config.Spec.Linux != nil && config.Spec.Linux.Seccomp != nil {
		config.seccomp = cutOut(data, "linux", "seccomp")
	}
	if config.Spec.Process == nil {
		return nil, errors.New("no process")
	}
	if len(config.Spec.Process.Args) == 0 {
		return nil, errors.New("process.args is empty")
	}
	if config.Spec.Root == nil || config.Spec.Root.Path == "" {
		return nil, errors.New("no root.path")
	}
	return config, checkRelabel(config.Spec.Mounts)
}

// decode reads one JSON value with numbers as they are written, so that 64-bit ones survive.
func decode(data []byte, value any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(value); err != nil {
		if errors.Is(err, io.EOF) {
			return errors.New("empty")
		}
		return place(data, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the value")
	}
	return nil
}

// reread sets value, a pointer to a structure, from the tree: what is decided upon is then what the OCI runtime is given, also where data has
// a field twice. Errors have their place in data.
func reread(data []byte, tree map[string]any, value any) error {
	var fast filler
	target := reflect.ValueOf(value).Elem()
	filled := fast.fill(tree, target)
	if filled && !fast.unknown {
		return nil
	}
	if err := checkSpelling(tree, "", target.Type()); err != nil || filled {
		return err
	}
	target.SetZero()
	encoded, err := encode(tree)
	if err != nil {
		return err
	}
	err = json.Unmarshal(encoded, value)
	if err == nil {
		return nil
	}
	if inData := json.Unmarshal(data, reflect.New(reflect.TypeOf(value).Elem()).Interface()); inData != nil {
		return place(data, inData)
	}
	return err
}

// checkSpelling refuses a field whose name differs from a known one in case alone: readers in Go take the two for the same, others do not, and
// one could replace what is written into the other here.
func checkSpelling(value any, path string, kind reflect.Type) error {
	for kind.Kind() == reflect.Pointer {
		kind = kind.Elem()
	}
	switch value := value.(type) {
	case []any:
		if kind.Kind() != reflect.Slice {
			return nil
		}
		for i, element := range value {
			if err := checkSpelling(element, fmt.Sprintf("%s[%d]", path, i), kind.Elem()); err != nil {
				return err
			}
		}
	case map[string]any:
		if kind.Kind() == reflect.Struct {
			return checkFields(value, path, kind)
		}
	}
	return nil
}

func checkFields(object map[string]any, path string, kind reflect.Type) error {
	known := map[string]reflect.Type{}
	for field := range kind.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		known[name] = field.Type
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		inner := strings.TrimPrefix(path+"."+name, ".")
		if field, ok := known[name]; ok {
			if err := checkSpelling(object[name], inner, field); err != nil {
				return err
			}
			continue
		}
		for spelling := range known {
			if strings.EqualFold(spelling, name) {
				return fmt.Errorf("field %s: the specification spells it %q", strconv.Quote(inner), spelling)
			}
		}
	}
	return nil
}

// place adds line and column to an error of encoding/json.
func place(data []byte, err error) error {
	offset := int64(-1)
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &kind):
		offset = kind.Offset
	case errors.Is(err, io.ErrUnexpectedEOF):
		offset = int64(len(data))
		err = errors.New("ends in the middle")
	}
	if offset < 0 || offset > int64(len(data)) {
		return err
	}
	before := data[:offset]
	return fmt.Errorf("%d:%d: %w", bytes.Count(before, []byte("\n"))+1, len(before)-bytes.LastIndexByte(before, '\n')-1, err)
}

// Encode writes the configuration with its fields in alphabetical order: same input, same bytes.
func (c *Config) Encode() ([]byte, error) { return encode(c.tree) }

func encode(value any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return buffer.Bytes(), err
}

// object returns the object at the path, making what is missing. A value of another kind there is replaced: Parse has checked the kinds
// of every field that the specification knows.
func object(tree map[string]any, path ...string) map[string]any {
	for _, name := range path {
		inner, ok := tree[name].(map[string]any)
		if !ok {
			inner = map[string]any{}
			tree[name] = inner
		}
		tree = inner
	}
	return tree
}

// set stores value as JSON has it, or removes the field where the value is empty.
func set(tree map[string]any, name string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	var plain any
	if err := decode(data, &plain); err != nil {
		return err
	}
	switch value := plain.(type) {
	case nil:
		delete(tree, name)
	case string:
		if value == "" {
			delete(tree, name)
			return nil
		}
		tree[name] = value
	default:
		tree[name] = value
	}
	return nil
}

// Annotation returns what the annotation org.bulkhead.NAME says.
func (c *Config) Annotation(name string) string {
	return strings.TrimSpace(c.Spec.Annotations["org.bulkhead."+name])
}

// FromSpec makes a configuration of one that was built here.
func FromSpec(spec *specs.Spec) (*Config, error) {
	data, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	return Parse(data)
}
