// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"bytes"
	"encoding/json"
)

// cutOut returns the value at the path of object fields with what is before it blanked, so that lines and columns are those of data; nil where
// there is none. data is JSON that was found to be valid. Of a field that is there twice the last one counts, as it does in a tree.
func cutOut(data []byte, path ...string) []byte {
	at := skipSpace(data, 0)
	for _, name := range path {
		if at = lastMember(data, at, name); at < 0 {
			return nil
		}
	}
	out := bytes.Repeat([]byte(" "), at)
	for i, b := range data[:at] {
		if b == '\n' {
			out[i] = b
		}
	}
	return append(out, data[at:skipValue(data, at)]...)
}

// lastMember returns where the value of the object's last field of that name starts, -1 where there is none or no object.
func lastMember(data []byte, at int, name string) int {
	found := -1
	if at >= len(data) || data[at] != '{' {
		return found
	}
	for at = skipSpace(data, at+1); at < len(data) && data[at] == '"'; at = skipSpace(data, at) {
		end := skipValue(data, at)
		matches := named(data[at:end], name)
		at = skipSpace(data, skipSpace(data, end)+1) // the colon
		if matches {
			found = min(at, len(data))
		}
		if at = skipSpace(data, skipValue(data, at)); at < len(data) && data[at] == ',' {
			at++
		}
	}
	return found
}

// named reports whether a string as JSON writes it is the name.
func named(quoted []byte, name string) bool {
	if len(quoted) < 2 {
		return false
	}
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1:len(quoted)-1]) == name
	}
	var text string
	return json.Unmarshal(quoted, &text) == nil && text == name
}

func skipSpace(data []byte, at int) int {
	for at < len(data) && (data[at] == ' ' || data[at] == '\n' || data[at] == '\t' || data[at] == '\r') {
		at++
	}
	return at
}

// skipValue returns where the value that starts at ends.
func skipValue(data []byte, at int) int {
	for depth := 0; at < len(data); at++ {
		switch data[at] {
		case '"':
			for at++; at < len(data) && data[at] != '"'; at++ {
				if data[at] == '\\' {
					at++
				}
			}
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth--; depth < 0 { // of what the value is in
				return at
			}
		case ',', ' ', '\n', '\t', '\r':
			if depth == 0 {
				return at
			}
			continue
		default: // of a number, true, false or null: the next byte may be, too
			continue
		}
		if depth == 0 {
			return min(at+1, len(data))
		}
	}
	return len(data)
}
