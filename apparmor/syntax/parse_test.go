// SPDX-License-Identifier: Apache-2.0

package syntax_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

// refusal is a text of one rule, and how its diagnostic begins: the place is that of its line in a profile.
type refusal struct{ rule, want string }

// Each row was asked of apparmor_parser 4.1.0, which refuses it, too, but where the row's name ends with Stricter.
func TestRulesThatAreRefused(t *testing.T) {
	wantRefusals(t, map[string]refusal{
		"NoRule":                    {"blah,", `2:1: unexpected "blah", expected a rule, a profile, a hat, if or include`},
		"PathNotAbsolute":           {`"foo" r,`, `2:1: unexpected '"', expected a rule, a profile, a hat, if or include`},
		"AlternationAtTheBeginning": {"{/a,/b} r,\n/c r,", `2:1: unexpected "{/a,/b}", expected a rule, a profile, a hat, if or include`},
		"NoPermissions":             {"/a,", `2:3: unexpected ',', expected permissions of rwalkmxipuc`},
		"UnknownPermission":         {"/a rK,", `2:4: unexpected "rK", expected permissions of rwalkmxipuc`},
		"PermissionsTwice":          {"/a r w,", `2:6: unexpected "w", expected "," after the rule`},
		"WriteAndAppend":            {"/a wa,", `2:4: w and a exclude each other, expected one of them`},
		"BareX":                     {"/a rx,", `2:4: x without a mode, expected ix, ux, px, cx, pix, pux, cix or cux`},
		"ModeInDeny":                {"deny /a rix,", `2:9: a deny rule has no mode of x, it denies them all, expected ix, ux, px, cx, pix, pux, cix or cux`},
		"LetterWithoutX":            {"/a rp,", `2:4: the letter p stands without x, expected ix, ux, px, cx, pix, pux, cix or cux`},
		"UnknownMode":               {"/a riux,", `2:4: unknown mode iux, expected ix, ux, px, cx, pix, pux, cix or cux`},
		"TwoModes":                  {"/a pxix,", `2:4: two modes of x exclude each other, expected ix, ux, px, cx, pix, pux, cix or cux`},
		"TwoModesByCase":            {"/a pxPx,", `2:4: two modes of x exclude each other, expected ix, ux, px, cx, pix, pux, cix or cux`},
		"UnsafeWithoutX":            {"unsafe r /a,", `2:8: unsafe goes with x only, expected an x permission`},
		"TargetOfIxStricter":        {"/a ix -> b,", `2:9: the permissions "ix" have no target, expected px, cx or l with a target`},
		"EmptyTargetStricter":       {`/a px -> "",`, `2:10: empty target, expected a name`},
		"SpaceInPath":               {"/abc def r,", `2:6: unexpected "def", expected permissions of rwalkmxipuc`},
		"CommaBehindPath":           {"/foobar, r,", `2:8: unexpected ',', expected permissions of rwalkmxipuc`},
		"VariableThenSign":          {"@{profile_name}+/x r,", `2:1: bad path "@{profile_name}+/x", expected a path`},
		"QuoteNotClosed":            {`"/a r,`, `2:1: the quotation mark is not closed on its line, expected "`},
		"LinkWithoutTarget":         {"link /a,", `2:8: unexpected ',', expected "->"`},
		"QualifiersOutOfOrder":      {"deny audit /a r,", `2:6: unexpected "audit", expected the order priority, audit, allow or deny, owner or other`},
		"QualifierTwice":            {"allow deny /a r,", `2:7: unexpected "deny", expected the order priority, audit, allow or deny, owner or other`},
		"OwnerOfAnotherKind":        {"owner network,", `2:7: qualifiers that do not go with network`},
		"PriorityOfAll":             {"priority=1 all,", `2:12: qualifiers that do not go with all`},
		"AuditOfALimit":             {"audit set rlimit cpu <= 1,", `2:7: qualifiers that do not go with set`},
		"OwnerAndOtherStricter":     {"owner { other /a r, }", `2:9: owner and other exclude each other, expected one of them`},
		"PriorityTooHigh":           {"priority=1001 /a r,", `2:10: bad priority, expected a number from -1000 to 1000`},
		"PriorityOfABlock":          {"priority=1 { /a r, }", `2:1: priority does not go with a block`},
	})
}

// As above.
func TestRulesOfTheOtherKindsThatAreRefused(t *testing.T) {
	wantRefusals(t, map[string]refusal{
		"Capability":              {"capability chown CAP_CHOWN,", `2:18: unknown capability "CAP_CHOWN", expected the name of a capability in lower case, without CAP_`},
		"ProtocolWithType":        {"network inet stream tcp,", `2:21: unexpected "tcp", expected conditions or ","`},
		"ProtocolOfAnotherDomain": {"network unix tcp,", `2:14: there is no tcp in the domain unix, expected a type of socket`},
		"NetworkWord":             {"network foo,", `2:9: unknown word "foo" in a network rule, expected an access, a domain, a type or a protocol`},
		"Address":                 {"network ip=10.2,", `2:12: bad address "10.2", expected an IPv4 or IPv6 address, or none`},
		"Port":                    {"network port=443-80,", `2:14: bad port "443-80", expected a number from 0 to 65535, or two with - between them`},
		"AddressOfAnotherDomain":  {"network netlink ip=::1,", `2:1: the domain netlink has no ip= and port=, expected inet, inet6 or no domain`},
		"LocalAccessWithPeer":     {"network bind peer=(port=1),", `2:1: the access bind has no peer, expected accept, connect, send or receive`},
		"PeerThenLocal":           {"network peer=(port=1) port=2,", `2:28: port= behind peer=, expected the conditions of the peer at the end`},
		"ConditionTwice":          {"network port=1 port=2,", `2:16: the condition "port" stands twice`},
		"MountOptionsContradict":  {"mount options=(rw, ro) -> /a,", `2:20: the option "ro" contradicts one before it`},
		"MountOption":             {"mount options=XXX /a,", `2:15: unknown option "XXX", expected an option of mount(8) that apparmor.d(5) lists`},
		"MountOptionPattern":      {"mount options=** /a,", `2:15: unknown option "**", expected an option of mount(8) that apparmor.d(5) lists`},
		"MountTypesStricter":      {"mount fstype=ext3,ext4 /a,", `2:14: a comma in the type "ext3,ext4", expected several types in parentheses`},
		"MountSourceOfRemount":    {"mount options=remount /a -> /b,", `2:23: the option "remount" takes no source, expected only the path that is mounted on`},
		"MountSourceOfSlave":      {"mount options=(rslave) /a -> /b,", `2:24: the option "rslave" takes no source, expected only the path that is mounted on`},
		"MountTypeOfBind":         {"mount options=bind fstype=x /a -> /b,", `2:20: the option "bind" takes no type of a file system, expected no type`},
		"MountConditionsAtTheEnd": {"mount /a -> /b options=ro,", `2:16: unexpected "options=ro", expected "," after the rule`},
		"RemountHasNoSource":      {"remount /a -> /b,", `2:12: unexpected "->", expected "," after the rule`},
		"PivotRoot":               {"pivot_root a/,", `2:12: unexpected "a/", expected "," after the rule`},
		"PtraceAccess":            {"ptrace send,", `2:8: unknown access "send", expected an access: r, w, rw, wr, read, write, trace, readby, tracedby`},
		"PtraceAccessWithoutList": {"ptrace read trace,", `2:13: unexpected "trace", expected "," after the rule`},
		"Signal":                  {"signal set=rtmin+33,", `2:12: unknown signal "rtmin+33", expected a signal:`},
		"SignalPeerInParentheses": {"signal peer=(a),", `2:13: unexpected "(a)", expected a label`},
		"EmptyListStricter":       {"signal set=(),", `2:13: empty list, expected a signal`},
		"SignalIn":                {"signal set in (hup),", `2:8: unknown access "set"`},
		"UnixAddress":             {"unix addr=/a,", `2:11: bad address "/a", expected none, auto or @ and the name`},
		"UnixTypes":               {"unix type=(stream, dgram),", `2:11: 2 values, expected one value`},
		"UnixLabel":               {"unix bind label=a,", `2:11: unknown condition "label", expected type=, addr=, peer=`},
		"UnixPeer":                {"unix send peer(addr=a),", `2:11: unexpected "peer(addr=a)", expected "," after the rule`},
		"DBusKinds":               {"dbus name=a path=/b,", `2:1: conditions of messages and of services in one rule, expected name= alone, or without it`},
		"DBusBind":                {"dbus bind member=a,", `2:1: the access bind with conditions of messages, expected bus= and name= only`},
		"DBusSend":                {"dbus send name=a,", `2:1: the accesses send and receive with the condition name=, expected bind`},
		"DBusEavesdrop":           {"dbus eavesdrop path=/a,", `2:1: the access eavesdrop with other conditions than bus=, expected bus= only`},
		"DBusPeerStricter":        {"dbus peer=(bus=a),", `2:12: unknown condition of the peer, expected name=, label=`},
		"MQueueType":              {"mqueue type=sysv /a,", `2:18: "/a" is the name of a posix queue, expected a number`},
		"MQueueName":              {"mqueue -1,", `2:8: bad name "-1" of a queue, expected a name that begins with / or a number`},
		"IOUring":                 {"io_uring peer=a,", `2:10: unknown condition "peer", expected label=`},
		"Userns":                  {"userns read,", `2:8: unexpected "read", expected "," after the rule`},
		"ChangeProfileSafe":       {"change_profile safe -> a,", `2:21: unexpected "->", expected the path of a program`},
		"LimitUnit":               {"set rlimit rttime <= 60m,", `2:22: bad unit m of the limit rttime`},
		"LimitUnitTooSmall":       {"set rlimit cpu <= 100ms,", `2:19: bad unit ms of the limit cpu`},
		"LimitTooLargeStricter":   {"set rlimit as <= 18446744073709551615K,", `2:18: too large a value of the limit as`},
		"ExtraAll":                {"all read,", `2:5: unexpected "read", expected "," after the rule`},
		"Alias":                   {"alias /a -> /b,", `2:1: an alias stands before the profiles`},
		"Boolean":                 {"$A = true\n/a r,", `2:1: a boolean variable is set before the profiles`},
		"ConditionNotSet":         {"if $NONE { }", `2:4: $NONE is not set`},
		"ConditionOfASetVariable": {"if @{profile_name} { }", `2:4: unexpected "@{profile_name}", expected a condition: $VARIABLE, defined @{VARIABLE} or not`},
		"ElseAlone":               {"else { /a r, }", `2:1: unexpected "else", expected a rule, a profile, a hat, if or include`},
		"HatWithABlank":           {"^ a { }", `2:2: unexpected ' ', expected the hat's name directly behind ^`},
		"HatTwice":                {"^a { }\nprofile a { }", `3:1: the profile "a" was defined before, at t:2:1`},
		"BracesNotClosed":         {"/a{b,c r,", `2:3: the alternation is not closed in "/a{b,c"`},
		"BracesWithoutComma":      {`"/a{b}" r,`, `2:4: the alternation has no comma in "/a{b}"`},
		"BracketAlone":            {"unix bind addr=@a]b,", `2:18: ] without [ in "@a]b"`},
		"EmptySet":                {"/alpha/[]beta rw,", `2:8: the set is empty in "/alpha/[]beta"`},
		"VariableNotSet":          {"dbus bus=@{NONE},", `2:10: the variable @{NONE} is not set`},
		"VariableNotSetInATarget": {"/a px -> @{NONE},", `2:10: the variable @{NONE} is not set`},
	})
}

func wantRefusals(t *testing.T, rows map[string]refusal) {
	t.Helper()
	for name, row := range rows {
		_, err := syntax.Parse("t", "profile t {\n"+row.rule+"\n}\n", syntax.Options{})
		if err == nil || !strings.HasPrefix(err.Error(), "t:"+row.want) {
			t.Errorf("%s: %v\nwanted t:%s", name, err, row.want)
		}
	}
}

func TestPreamblesAndHeadsThatAreRefused(t *testing.T) {
	for name, row := range map[string]struct{ text, want string }{
		"NameThatIsNoPath":        {"unattached { }", "1:1: unexpected \"unattached\""},
		"BadNamespace":            {":/a { }", `1:1: bad namespace in ":/a", expected :namespace:name`},
		"NoNameBehindNamespace":   {":ns: { }", `1:1: no name behind the namespace in ":ns:", expected :namespace:name`},
		"SameNameTwice":           {"profile a { }\nprofile a /b { }", `2:1: the profile "a" was defined before, at t:1:1`},
		"SameNameInANamespace":    {":n:/a { }\nprofile :n:/a { }", `2:1: the profile "/a" was defined before, at t:1:1`},
		"NoBlock":                 {"/a", "1:3: unexpected end of file"},
		"BlockNotClosed":          {"/a {\n /b r,\n", "1:4: the block is not closed, expected }"},
		"BlockClosedTwice":        {"/a { } }", "1:8: unexpected '}', there is no block to close"},
		"UnknownFlag":             {"/a flags=(capability) { }", "1:11: unknown flag capability"},
		"NoFlags":                 {"/a flags=() { }", "1:11: no flags, expected a flag"},
		"TwoModes":                {"/a (complain, kill) { }", "1:15: the modes complain and kill exclude each other, expected one mode"},
		"ContradictingFlags":      {"/a (chroot_relative, namespace_relative) { }", "1:4: the flags chroot_relative and namespace_relative exclude each other"},
		"FlagsThenXattrs":         {"/a flags=(audit) xattrs=(a=b) { }", "1:18: unexpected \"xattrs\", expected xattrs=(...) and then flags=(...)"},
		"XattrsOfAHat":            {"/a { ^h xattrs=(a=b) { } }", "1:9: unexpected \"xattrs\""},
		"DisconnectedPath":        {"@{A}=b\n/a (attach_disconnected.path=@{A}) { }", "2:4: the path of attach_disconnected.path is b, expected one absolute path"},
		"KillSignal":              {"/a (kill.signal=hup.) { }", "1:5: unknown signal hup."},
		"ErrorName":               {"/a (error=13) { }", "1:5: unknown error 13"},
		"AttachmentNoPath":        {"@{A}=/a b\nprofile t @{A} { }", `2:11: the attachment "@{A}" stands for "b", expected an absolute path`},
		"NameOfItself":            {"profile @{profile_name} { }", "1:9: @{profile_name} is defined by itself"},
		"VariableTwice":           {"@{A}=a\n@{A}=b", "2:1: @{A} was set before, at t:1:1"},
		"VariableAddedFirst":      {"@{A}+=a", "1:1: @{A} is added to before it is set"},
		"VariableEmpty":           {"@{A}=\n/a { }", `1:6: no value for @{A}, expected values, "" for the empty one`},
		"VariableName":            {"@{1}=a", "1:1: bad name of a variable, expected a letter, then letters, digits and _"},
		"VariableComma":           {"@{A}=a,", "1:7: unexpected ',', expected a value"},
		"VariableBehindAProfile":  {"/a { }\n@{A}=b", "2:1: a variable after a profile: the preamble comes first"},
		"VariableOfTheProfile":    {"@{profile_name}=a", "1:1: @{profile_name} is set by the profile itself"},
		"VariableWithoutValue":    {"@{A} { }", "1:6: unexpected \"{\", expected \"=\" or \"+=\" behind the variable; a profile that is named by one begins with \"profile\""},
		"BooleanTwice":            {"$A=true\n$A=true", "2:1: $A was set before"},
		"BooleanValue":            {"$A=truely", "1:10: bad value \"truely\" of $A, expected true or false"},
		"AliasWithoutArrow":       {"alias /a /b,", "1:10: unexpected \"/b\", expected \"->\""},
		"AliasBehindAProfile":     {"/a { }\nalias /a -> /b,", "2:1: alias after a profile: the preamble comes first"},
		"RuleOutside":             {"capability,", "1:1: unexpected \"capability\", expected a profile, a variable, abi, alias or include"},
		"IfOutsideOfAProfile":     {"$A=true\nif $A { }", "2:1: unexpected \"if\""},
		"OldHatStricter":          {"/a { }\n/a^HAT { }", "2:1: a hat stands outside of its profile, expected \"hat NAME\" or \"^NAME\" within its profile"},
		"BraceInName":             {"profile a{b { }", `1:10: the alternation is not closed in "a{b"`},
		"ByteThatCannotBe":        {"\x00", "1:1: unexpected '\\x00'"},
		"ModeBehindAnElse":        {"$A=true\n/a { if $A { } else ^x { } }", "2:21: unexpected \"^x\", expected \"{\""},
		"VariablesDefinedInRound": {"@{A}=@{B}\n@{B}=@{A}\n/a { /@{A} r, }", "2:6: @{A} is defined by itself"},
	} {
		_, err := syntax.Parse("t", row.text, syntax.Options{})
		if err == nil || !strings.HasPrefix(err.Error(), "t:"+row.want) {
			t.Errorf("%s: %v\nwanted t:%s", name, err, row.want)
		}
	}
}

func TestSeveralErrorsComeOutOfOneRun(t *testing.T) {
	const text = `@{A}=
profile t {
  capability foo,
  /fine r,
  network inet6
    icmp,
  ^hat {
    signal set=nohup,
  }
  /missing r
  /comma r,
  nonsense {
    with { a, block, }
  }
  mount options=(rw,
    q) /x,
}
profile u {
  /b rq,
  /fine w,
}
`
	policy, err := syntax.Parse("t", text, syntax.Options{})
	var places []string
	for line := range strings.Lines(fmt.Sprint(err)) {
		places = append(places, strings.SplitN(line, ": ", 2)[0])
	}
	want := "t:1:6 t:3:14 t:6:5 t:8:16 t:11:3 t:12:3 t:16:5 t:19:6"
	if got := strings.Join(places, " "); got != want {
		t.Errorf("errors at %s, wanted %s:\n%v", got, want, err)
	}
	if len(policy.Profiles) != 2 || len(policy.Profiles[0].Rules) != 1 || len(policy.Profiles[1].Rules) != 1 {
		t.Errorf("the good rules are not there: %s", syntax.Format(policy))
	}
}
