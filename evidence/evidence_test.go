// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"slices"
	"strings"
	"testing"
)

const status = "Name:\tsh\nUmask:\t0022\nState:\tS (sleeping)\nGroups:\t \nCapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\n" +
	"CapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\nSpeculation_Store_Bypass:\tvulnerable\n"

func TestStatusFields(t *testing.T) {
	full := Observed{SeccompMode: 2, SeccompFilters: 3, NoNewPrivileges: true, Bounding: 0x1ffffffffff, Permitted: 0xa80425fb}
	for name, test := range map[string]struct {
		text string
		want Observed
		err  string
	}{
		"Whole":                {status, full, ""},
		"MoreGroupsThanALine":  {strings.Replace(status, "Groups:\t", "Groups:\t"+strings.Repeat("4294967294 ", 65536), 1), full, ""},
		"NameLikeAField":       {strings.Replace(status, "Name:\tsh", "Name:\tCapBnd: 0", 1), full, ""},
		"BeforeLinux5Dot9":     {strings.Replace(status, "Seccomp_filters:\t3\n", "", 1), Observed{SeccompMode: 2, NoNewPrivileges: true, Bounding: 0x1ffffffffff, Permitted: 0xa80425fb}, ""},
		"Empty":                {"", Observed{}, "status: no CapPrm, CapBnd, NoNewPrivs, Seccomp"},
		"NoBoundingSet":        {strings.Replace(status, "CapBnd", "CapXxx", 1), Observed{}, "status: no CapBnd"},
		"NoSeccomp":            {strings.Replace(status, "Seccomp:", "Secc0mp:", 1), Observed{}, "status: no Seccomp"},
		"NoNewPrivsIsMissing":  {strings.Replace(status, "NoNewPrivs:\t1\n", "", 1), Observed{}, "status: no NoNewPrivs"},
		"TruncatedNumber":      {strings.Replace(status, "CapBnd:\t000001ffffffffff", "CapBnd:\t", 1), Observed{}, "status: CapBnd: "},
		"NumberOfOtherBase":    {strings.Replace(status, "Seccomp:\t2", "Seccomp:\t0x2", 1), Observed{}, "status: Seccomp: "},
		"NumberTooLarge":       {strings.Replace(status, "000001ffffffffff", "1000001ffffffffff", 1), Observed{}, "status: CapBnd: "},
		"NoNewPrivsIsNoNumber": {strings.Replace(status, "NoNewPrivs:\t1", "NoNewPrivs:\tyes", 1), Observed{}, "status: NoNewPrivs: "},
	} {
		var got Observed
		err := parseStatus([]byte(test.text), &got)
		if test.err == "" && (err != nil || got != test.want) || test.err != "" && (err == nil || !strings.HasPrefix(err.Error(), test.err)) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

func FuzzParseStatus(f *testing.F) {
	f.Add([]byte(status))
	f.Add([]byte("CapPrm:\nCapBnd"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var observed Observed
		if parseStatus(data, &observed) == nil {
			for _, name := range []string{"CapPrm:", "CapBnd:", "NoNewPrivs:", "Seccomp:"} {
				if !strings.Contains(string(data), name) {
					t.Errorf("read without %s", name)
				}
			}
		}
	})
}

func TestCompare(t *testing.T) {
	expected := Expected{ProcessLabel: "u:r:container_t:s0:c1,c2", AppArmorProfile: "web", Seccomp: true, Filters: 2, NoNewPrivileges: true, Bounding: 0xff, Landlock: true}
	observed := Observed{PID: 7, ProcessLabel: expected.ProcessLabel, AppArmorProfile: "web (enforce)", SeccompMode: 2, SeccompFilters: 2, NoNewPrivileges: true,
		Bounding: 0xff, Permitted: 0x0f, Landlock: Proven}
	for name, test := range map[string]struct {
		expect  func(*Expected)
		observe func(*Observed)
		layers  []string
	}{
		"AsAsked":                    {nil, nil, nil},
		"MoreThanAsked":              {nil, func(o *Observed) { o.SeccompFilters, o.Bounding, o.Permitted = 5, 1, 0 }, nil},
		"NothingExpected":            {func(e *Expected) { *e = Expected{Bounding: 0xff} }, func(o *Observed) { o.AppArmorProfile = "unconfined" }, nil},
		"OtherLabel":                 {nil, func(o *Observed) { o.ProcessLabel = "u:r:container_t:s0:c1,c3" }, []string{"selinux"}},
		"NoLabel":                    {nil, func(o *Observed) { o.ProcessLabel = "" }, []string{"selinux"}},
		"OtherProfile":               {nil, func(o *Observed) { o.AppArmorProfile = "website (enforce)" }, []string{"apparmor"}},
		"NoProfile":                  {nil, func(o *Observed) { o.AppArmorProfile = "unconfined" }, []string{"apparmor"}},
		"StackedProfile":             {nil, func(o *Observed) { o.AppArmorProfile = "outer//&web (enforce)" }, nil},
		"StackedWithNamespace":       {nil, func(o *Observed) { o.AppArmorProfile = "web//&:ns:unconfined (enforce)" }, nil},
		"HatOfTheProfile":            {nil, func(o *Observed) { o.AppArmorProfile = "web//worker (enforce)" }, nil},
		"HatOfAnother":               {nil, func(o *Observed) { o.AppArmorProfile = "other//web (enforce)" }, []string{"apparmor"}},
		"StackWithoutIt":             {nil, func(o *Observed) { o.AppArmorProfile = "a//&b//&website (enforce)" }, []string{"apparmor"}},
		"ProfileOfSameNameElsewhere": {nil, func(o *Observed) { o.AppArmorProfile = ":ns:web (enforce)" }, []string{"apparmor"}},
		"ProfileNoLongerEnforced":    {func(e *Expected) { e.AppArmorEnforced = true }, func(o *Observed) { o.AppArmorProfile = "web (complain)" }, []string{"apparmor"}},
		"ComplainingProfile":         {nil, func(o *Observed) { o.AppArmorProfile = "web (complain)" }, nil},
		"NoFilter":                   {nil, func(o *Observed) { o.SeccompMode, o.SeccompFilters = 0, 0 }, []string{"seccomp"}},
		"NoFilterBesideTheParents":   {nil, func(o *Observed) { o.SeccompFilters = 1 }, []string{"seccomp"}},
		"KernelThatCountsNoFilters":  {func(e *Expected) { e.Filters = 0 }, func(o *Observed) { o.SeccompFilters = 0 }, nil},
		"FilterThatEndsIt":           {nil, func(o *Observed) { o.SeccompMode = 3 }, nil},
		"StrictModeIsNoFilter":       {nil, func(o *Observed) { o.SeccompMode, o.SeccompFilters = 1, 0 }, []string{"seccomp"}},
		"NewPrivileges":              {nil, func(o *Observed) { o.NoNewPrivileges = false }, []string{"no-new-privileges"}},
		"WiderBoundingSet":           {nil, func(o *Observed) { o.Bounding |= 1 << 21 }, []string{"capabilities"}},
		"WiderPermittedSet":          {nil, func(o *Observed) { o.Permitted |= 1 << 40 }, []string{"capabilities"}},
		"NothingProven":              {nil, func(o *Observed) { o.Landlock = "" }, []string{"landlock"}},
		"ProvenInOtherWords":         {nil, func(o *Observed) { o.Landlock = "yes" }, []string{"landlock"}},
		"NothingHolds":               {nil, func(o *Observed) { *o = Observed{Bounding: 1 << 63} }, []string{"selinux", "apparmor", "seccomp", "no-new-privileges", "capabilities", "landlock"}},
	} {
		e, o := expected, observed
		if test.expect != nil {
			test.expect(&e)
		}
		if test.observe != nil {
			test.observe(&o)
		}
		var layers []string
		for _, mismatch := range Compare(e, o) {
			layers = append(layers, mismatch.Layer)
			if text := mismatch.String(); !strings.HasPrefix(text, mismatch.Layer+": asked for ") || mismatch.Asked == "" || mismatch.Observed == "" {
				t.Errorf("%s: %q", name, text)
			}
		}
		if !slices.Equal(layers, test.layers) {
			t.Errorf("%s: mismatches in %v, want %v", name, layers, test.layers)
		}
	}
}
