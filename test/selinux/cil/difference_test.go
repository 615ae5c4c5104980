// SPDX-License-Identifier: Apache-2.0

package cil_test

import (
	"fmt"
	"reflect"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// firstDifference names the first field, by its path, in which two policies differ.
func firstDifference(want, got *policydb.Policy) string {
	if text := differ("", reflect.ValueOf(want).Elem(), reflect.ValueOf(got).Elem()); text != "" {
		return text
	}
	return "nothing that is read differs"
}

func differ(path string, want, got reflect.Value) string {
	switch want.Kind() {
	case reflect.Struct:
		for i := range want.NumField() {
			if field := want.Type().Field(i); field.IsExported() {
				if text := differ(path+"."+field.Name, want.Field(i), got.Field(i)); text != "" {
					return text
				}
			}
		}
		return ""
	case reflect.Pointer:
		if want.IsNil() != got.IsNil() {
			return fmt.Sprintf("%s: %v, want %v", path, got, want)
		}
		if want.IsNil() {
			return ""
		}
		return differ(path, want.Elem(), got.Elem())
	case reflect.Slice:
		for i := range min(want.Len(), got.Len()) {
			if text := differ(fmt.Sprintf("%s[%d]", path, i), want.Index(i), got.Index(i)); text != "" {
				return fmt.Sprintf("%s (%d elements, want %d; got %s, want %s)", text, got.Len(), want.Len(), short(got.Index(i)), short(want.Index(i)))
			}
		}
		if want.Len() != got.Len() {
			return fmt.Sprintf("%s: %d elements, want %d", path, got.Len(), want.Len())
		}
		return ""
	}
	if !reflect.DeepEqual(want.Interface(), got.Interface()) {
		return fmt.Sprintf("%s: %v, want %v", path, got, want)
	}
	return ""
}

func short(value reflect.Value) string {
	text := fmt.Sprintf("%+v", value)
	return text[:min(len(text), 160)]
}
