// SPDX-License-Identifier: Apache-2.0

package policydb

import (
	"errors"
	"testing"
)

func TestExtendedRulesNarrowAPermission(t *testing.T) {
	_, p := small(t, 33)
	data, secret, tmp, quiet := object+"data_t:s0", object+"secret_t:s0", object+"tmp_t:s0", object+"quiet_t:s0"
	messages := Rule{Kind: RuleAllowExtended, Extended: &Extended{Kind: extendedMessages, Bits: [8]uint32{1 << 18}}}
	context, err := p.ParseContext(app)
	if err != nil {
		t.Fatal(err)
	}
	routes, _ := p.Class("netlink_route_socket")
	messages.Source, messages.Target, messages.Class = uint16(context.Type), uint16(context.Type), uint16(routes.Value)
	for i := range routes.Permissions.Entries { // no policy of Debian's compilers has nlmsg
		if routes.Permissions.Entries[i].Name == "nlmsg_read" {
			routes.Permissions.Entries[i].Name = "nlmsg"
		}
	}
	p.Rules = append(p.Rules, messages)
	for name, test := range map[string]struct {
		source, target, class, permission string
		number                            uint16
		allowed                           bool
		cause                             Cause
		logged                            bool
		rules                             int
	}{
		"OneOfADriver":                {app, data, "file", PermissionIoctl, 0x8910, true, ByExtended, false, 1},
		"OneOfARun":                   {app, data, "file", PermissionIoctl, 0x8925, true, ByExtended, false, 1},
		"WholeDriver":                 {app, data, "file", PermissionIoctl, 0x54aa, true, ByExtended, false, 1},
		"NotListed":                   {app, data, "file", PermissionIoctl, 0x8911, false, NoExtended, true, 2},
		"DriverNotListed":             {app, data, "file", PermissionIoctl, 0x1234, false, NoExtended, true, 2},
		"NotListedAndSilent":          {app, data, "file", PermissionIoctl, 0x9999, false, NoExtended, false, 2},
		"NoExtendedRules":             {app, secret, "file", PermissionIoctl, 0x1234, true, ByRule, false, 0},
		"ThePermissionItselfIsDenied": {app, tmp, "file", PermissionIoctl, 0x8910, false, NoRule, true, 0},
		"NorBySilence":                {app, quiet, "file", PermissionIoctl, 0x8910, false, NoRule, true, 0},
		"MessageListed":               {app, app, "netlink_route_socket", PermissionNlmsg, 18, true, ByExtended, false, 1},
		"MessageNotListed":            {app, app, "netlink_route_socket", PermissionNlmsg, 19, false, NoExtended, true, 1},
	} {
		source, _ := p.ParseContext(test.source)
		target, err := p.ParseContext(test.target)
		if err != nil {
			t.Fatal(err)
		}
		class, err := p.Class(test.class)
		if err != nil {
			t.Fatal(err)
		}
		x, err := p.ExplainExtended(source, target, class.Value, test.permission, test.number)
		if err != nil || x.Allowed != test.allowed || x.Cause != test.cause || x.Logged != test.logged || len(x.Rules) != test.rules {
			t.Errorf("%s: %+v, %v", name, x, err)
		}
	}
	var unknown *UnknownError
	if _, err := p.ExplainExtended(context, context, routes.Value, PermissionIoctl, 1); !errors.As(err, &unknown) {
		t.Errorf("a class without ioctl: %v", err)
	}
}

func TestARuleAboutTheLogAloneNarrows(t *testing.T) {
	_, p := small(t, 33)
	source, _ := p.ParseContext(app)
	target, _ := p.ParseContext(object + "secret_t:s0")
	file, _ := p.Class("file")
	p.Rules = append(p.Rules, Rule{Source: uint16(source.Type), Target: uint16(target.Type), Class: uint16(file.Value), Kind: RuleAuditExtended,
		Extended: &Extended{Kind: extendedDrivers, Bits: [8]uint32{1 << 1}}})
	for _, number := range []uint16{0x0101, 0x0201} {
		if x, err := p.ExplainExtended(source, target, file.Value, PermissionIoctl, number); err != nil || x.Allowed || x.Cause != NoExtended || x.Rules != nil {
			t.Errorf("%#x: %+v, %v", number, x, err)
		}
	}
}

func TestCommandsThatEveryFileHas(t *testing.T) {
	_, p := small(t, 33)
	for command, want := range map[uint32]string{0x5401: "ioctl", 0x541b: "getattr", 0x40086602: "setattr", 0x5421: "", 0x5451: "ioctl", 0x6601: "ioctl"} {
		if got := p.IoctlPermission(command); got != want {
			t.Errorf("%#x: %q, want %q", command, got, want)
		}
	}
	p.Capabilities.set(7)
	if got := p.IoctlPermission(0x5451); got != "" {
		t.Errorf("FIOCLEX that the policy lets pass: %q", got)
	}
}
