// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
)

// filler sets structures of the specification from trees of JSON values, as encoding/json would, where they are as they should be. What is not
// is left to encoding/json and checkSpelling, which say what is wrong with it.
//
// It goes only where the tree goes. encoding/json makes a decoder and an encoder of every type that can be reached from a type before it reads
// the first value of it: for the whole specification that is more than a millisecond of CPU time in a process that lives for a few.
type filler struct {
	unknown bool // an object has fields that the specification does not know
}

// fill sets target, which is zero, and reports whether it could.
func (f *filler) fill(value any, target reflect.Value) bool {
	switch value := value.(type) {
	case nil:
		return target.Kind() != reflect.Interface
	case string:
		if target.Kind() == reflect.String {
			target.SetString(value)
			return true
		}
	case bool:
		if target.Kind() == reflect.Bool {
			target.SetBool(value)
			return true
		}
	case json.Number:
		if number(string(value), target) {
			return true
		}
	case []any:
		if target.Kind() == reflect.Slice {
			return f.list(value, target)
		}
	case map[string]any:
		switch target.Kind() {
		case reflect.Struct:
			known, ok := f.fields(value, target)
			f.unknown = f.unknown || known != len(value)
			return ok
		case reflect.Map:
			return f.table(value, target)
		}
	}
	if target.Kind() != reflect.Pointer {
		return false
	}
	target.Set(reflect.New(target.Type().Elem()))
	return f.fill(value, target.Elem())
}

func number(text string, target reflect.Value) bool {
	switch target.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		number, err := strconv.ParseInt(text, 10, target.Type().Bits())
		target.SetInt(number)
		return err == nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		number, err := strconv.ParseUint(text, 10, target.Type().Bits())
		target.SetUint(number)
		return err == nil
	}
	return false
}

func (f *filler) list(values []any, target reflect.Value) bool {
	if target.Type().Elem().Kind() == reflect.Uint8 { // encoding/json has these as text
		return false
	}
	target.Set(reflect.MakeSlice(target.Type(), len(values), len(values)))
	for i, value := range values {
		if !f.fill(value, target.Index(i)) {
			return false
		}
	}
	return true
}

func (f *filler) table(object map[string]any, target reflect.Value) bool {
	kind := target.Type()
	if kind.Key().Kind() != reflect.String {
		return false
	}
	target.Set(reflect.MakeMapWithSize(kind, len(object)))
	for name, value := range object {
		element := reflect.New(kind.Elem()).Elem()
		if !f.fill(value, element) {
			return false
		}
		target.SetMapIndex(reflect.ValueOf(name).Convert(kind.Key()), element)
	}
	return true
}

// fields sets the fields of a structure and counts those of the object that it has.
func (f *filler) fields(object map[string]any, target reflect.Value) (known int, ok bool) {
	kind := target.Type()
	for i := range kind.NumField() {
		field := kind.Field(i)
		if field.Anonymous {
			inner, ok := f.fields(object, target.Field(i))
			if known += inner; !ok {
				return known, false
			}
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		value, given := object[name]
		if !given {
			continue
		}
		if known++; !f.fill(value, target.Field(i)) {
			return known, false
		}
	}
	return known, true
}
