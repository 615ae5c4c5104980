// SPDX-License-Identifier: Apache-2.0

package container

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestConfigurations(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want Configuration
		err  string
	}{
		"Empty object":     {"{}", Configuration{}, ""},
		"Everything":       {`{"runtime":"crun","annotations":["landlock"],"categories":[0,511],"state":"/s","run":"/r"}`, Configuration{"crun", []string{"landlock"}, []uint16{0, 511}, nil, "/s", "/r", nil}, ""},
		"UnknownField":     {`{"runtme":"crun"}`, Configuration{}, `unknown field "runtme"`},
		"UnknownLayer":     {`{"annotations":["landlock","seccomp"]}`, Configuration{}, `"seccomp" cannot be switched off`},
		"RelativeState":    {`{"state":"var"}`, Configuration{}, `"var" is not an absolute path`},
		"RelativeRun":      {`{"run":"../run"}`, Configuration{}, `"../run" is not an absolute path`},
		"WrongType":        {`{"annotations":"landlock"}`, Configuration{}, "cannot unmarshal"},
		"EmptyFile":        {"", Configuration{}, "EOF"},
		"Truncated":        {`{"runtime":`, Configuration{}, "unexpected EOF"},
		"TwoValues":        {`{} {"annotations":["landlock"]}`, Configuration{}, "something follows"},
		"OneCategory":      {`{"categories":[5]}`, Configuration{}, "is not [LOWEST, HIGHEST]"},
		"CategoriesTurned": {`{"categories":[9,5]}`, Configuration{}, "is not [LOWEST, HIGHEST]"},
		"CategoryTooHigh":  {`{"categories":[5,1024]}`, Configuration{}, "is not [LOWEST, HIGHEST]"},
		"Ranges":           {`{"ranges":{"containers":"c0.c511","vms":"c512.c1023"}}`, Configuration{Ranges: map[string]string{"containers": "c0.c511", "vms": "c512.c1023"}}, ""},
		"RangesOverlap":    {`{"ranges":{"containers":"c0.c512","vms":"c512.c1023"}}`, Configuration{}, "ranges.vms: c512.c1023 overlaps ranges.containers, c0.c512"},
		"RangeWithAHole":   {`{"ranges":{"vms":"c1,c3"}}`, Configuration{}, "ranges.vms: range \"c1,c3\": c2 is missing"},
		"RangeIsNone":      {`{"ranges":{"vms":"512-1023"}}`, Configuration{}, "ranges.vms: "},
		"Etcd": {`{"etcd":{"endpoints":["https://10.0.0.1:2379","https://[fd00::1]:2379"],"authority":"/ca","certificate":"/c","key":"/k","prefix":"/p/","node":"a","lease":5}}`,
			Configuration{Etcd: &Etcd{[]string{"https://10.0.0.1:2379", "https://[fd00::1]:2379"}, "/ca", "/c", "/k", "/p/", "a", 5}}, ""},
		"EtcdNowhere":         {`{"etcd":{}}`, Configuration{}, "etcd.endpoints: none"},
		"EtcdNoScheme":        {`{"etcd":{"endpoints":["http://a:2379","10.0.0.1:2379"]}}`, Configuration{}, `etcd.endpoints[1]: "10.0.0.1:2379": neither`},
		"EtcdNoPort":          {`{"etcd":{"endpoints":["https://a"]}}`, Configuration{}, `no port`},
		"EtcdPortTooHigh":     {`{"etcd":{"endpoints":["https://a:65536"]}}`, Configuration{}, `port "65536"`},
		"EtcdPath":            {`{"etcd":{"endpoints":["https://a:2379/v3"]}}`, Configuration{}, `port "2379/v3"`},
		"EtcdUser":            {`{"etcd":{"endpoints":["https://u:p@a:2379"]}}`, Configuration{}, `host "u:p@a"`},
		"EtcdNoHost":          {`{"etcd":{"endpoints":["https://:2379"]}}`, Configuration{}, `host ""`},
		"EtcdBadIPv6":         {`{"etcd":{"endpoints":["https://[fd00::1:2379"]}}`, Configuration{}, `IPv6`},
		"EtcdRelativeKey":     {`{"etcd":{"endpoints":["https://a:2379"],"key":"k"}}`, Configuration{}, `etcd.key: "k" is not an absolute path`},
		"EtcdHalfAPair":       {`{"etcd":{"endpoints":["https://a:2379"],"key":"/k"}}`, Configuration{}, `go together`},
		"EtcdKeyInTheClear":   {`{"etcd":{"endpoints":["http://a:2379"],"authority":"/k"}}`, Configuration{}, `no endpoint is https`},
		"EtcdPrefixNotClosed": {`{"etcd":{"endpoints":["http://a:2379"],"prefix":"/p"}}`, Configuration{}, `etcd.prefix`},
		"EtcdNodeIsAPath":     {`{"etcd":{"endpoints":["http://a:2379"],"node":"a/b"}}`, Configuration{}, `etcd.node`},
		"EtcdLeaseTooShort":   {`{"etcd":{"endpoints":["http://a:2379"],"lease":1}}`, Configuration{}, `etcd.lease: 1`},
		"EtcdUnknownField":    {`{"etcd":{"endpoint":["http://a:2379"]}}`, Configuration{}, `unknown field "endpoint"`},
		"RangeTwice":          {`{"categories":[0,5],"ranges":{"containers":"c0.c5"}}`, Configuration{}, "the same setting"},
	} {
		path := filepath.Join(t.TempDir(), "bulkhead.json")
		if err := os.WriteFile(path, []byte(test.text), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := readConfiguration(path)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: got %v", name, err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
	if got, err := readConfiguration(filepath.Join(t.TempDir(), "gone")); err != nil || !reflect.DeepEqual(got, Configuration{}) {
		t.Errorf("no file: %+v, %v", got, err)
	}
	if _, err := readConfiguration(t.TempDir()); err == nil {
		t.Error("a directory was read")
	}
}

func TestPairsAreDrawnFromTheRangeOfTheirPurpose(t *testing.T) {
	split := Configuration{Ranges: map[string]string{"containers": "c0.c511", "vms": "c512.c1023"}}
	for _, test := range []struct {
		config    Configuration
		name      string
		low, high uint16
	}{
		{Configuration{}, "containers", 0, 0},
		{Configuration{Categories: []uint16{3, 9}}, "containers", 3, 9},
		{split, "containers", 0, 511},
		{split, "vms", 512, 1023},
		{split, "c7.c9", 7, 9},
	} {
		host := Host{Config: test.config}
		if err := host.DrawFrom(test.name); err != nil || host.Registry.Low != test.low || host.Registry.High != test.high {
			t.Errorf("%+v, %s: %+v, %v", test.config, test.name, host.Registry, err)
		}
	}
	if err := (&Host{Config: split}).DrawFrom("namespaces"); err == nil {
		t.Error("a purpose without a range was taken")
	}
}

func TestOnlyNamedLayersMayBeSwitchedOff(t *testing.T) {
	host := Host{Config: Configuration{Annotations: []string{"landlock"}}}
	if !host.MaySwitchOff("landlock") || host.MaySwitchOff("seccomp") || (&Host{}).MaySwitchOff("landlock") {
		t.Error("the configuration is not followed")
	}
}

func TestPlacesAreClosed(t *testing.T) {
	host := newHost(t)
	for _, directory := range []string{host.State, host.Run, filepath.Join(host.Run, "containers"), filepath.Join(host.State, "journal")} {
		info, err := os.Stat(directory)
		if err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", directory, info, err)
		}
	}
}
