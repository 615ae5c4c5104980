// SPDX-License-Identifier: Apache-2.0

package reach

import (
	"debug/elf"
	"slices"
	"strings"
	"testing"
)

// resolutions are small programs, the calls that they make, and what is said of those that cannot be told.
var resolutions = []struct {
	name       string
	machine    elf.Machine
	text       string
	calls      string // NAME/ABI where that is not the machine's
	unresolved string // a part of the only complaint; "" = none
}{
	{"ConstantIsFound", elf.EM_X86_64, "start: b827000000 0f05 c3", "getpid", ""},
	{"ZeroByExclusiveOr", elf.EM_X86_64, "start: 31c0 0f05 c3", "read", ""},
	{"CopyKeepsTheNumber", elf.EM_X86_64, "start: bb27000000 89d8 0f05 c3", "getpid", ""},
	{"PushAndPopKeepTheNumber", elf.EM_X86_64, "start: 6a27 58 0f05 c3", "getpid", ""},
	{"SumOfConstants", elf.EM_X86_64, "start: b820000000 83c007 0f05 c3", "getpid", ""},
	{"ConditionalMoveGivesBoth", elf.EM_X86_64, "start: b827000000 b96e000000 85ff 0f44c1 0f05 c3", "getpid getppid", ""},
	{"BranchesJoin", elf.EM_X86_64, "start: 85ff 7407 b827000000 eb05 b86e000000 0f05 c3", "getpid getppid", ""},
	{"BorrowSelectsOneOfTwo", elf.EM_X86_64, "start: 39fe 19c0 83e027 0f05 c3", "read getpid", ""},
	{"LoopIsFollowedToItsEnd", elf.EM_X86_64, "start: b827000000 0f05 b86e000000 85ff 75f5 c3", "getpid getppid", ""},
	{"PaddingBeforeALoopDoesNotMatter", elf.EM_X86_64, "start: ba27000000 eb04 0f1f4000 89d0 0f05 ebfa", "getpid", ""},
	{"CallKeepsItsRegisters", elf.EM_X86_64, "start: bb27000000 call:other 89d8 0f05 c3\nother: c3", "getpid", ""},
	{"CallLosesTheOthers", elf.EM_X86_64, "start: b827000000 call:other 0f05 c3\nother: c3", "", "the number is computed"},
	{"CallThatNeverReturnsIsTheEnd", elf.EM_X86_64, "start: b827000000 85ff 7407 call:die 6690 0f05 c3\ndie: ebfe", "getpid", ""},
	{"FrameIsKeptOverACall", elf.EM_X86_64, "start: 4881ec88000000 c744247027000000 call:other 8b442470 0f05 c3\nother: c3", "getpid", ""},
	{"FrameThatACalleeMayWriteIsForgotten", elf.EM_X86_64, "start: 4881ec88000000 c744247027000000 488d7c2460 call:other 8b442470 0f05 c3\nother: c3", "", "the number is computed"},
	{"ComparisonTellsTheRegister", elf.EM_X86_64, "start: 8b07 83f827 7402 31c0 0f05 c3", "read getpid", ""},
	{"BranchOnZeroTellsTheRegister", elf.EM_X86_64, "start: 8b07 85c0 7503 0f05 c3 c3", "read", ""},
	{"ExchangeOfMemoryLosesOnlyTheAccumulator", elf.EM_X86_64, "start: bb27000000 f00fb10f 89d8 0f05 c3", "getpid", ""},
	{"MemoryIsNotKnown", elf.EM_X86_64, "start: 8b07 0f05 c3", "", "the number is computed"},
	{"ArgumentIsAskedOfTheCallers", elf.EM_X86_64, "start: bf27000000 call:wrapper bf6e000000 call:wrapper c3\nwrapper: 89f8 0f05 c3", "getpid getppid", ""},
	{"ArgumentPassesThroughWrappers", elf.EM_X86_64, "start: be27000000 call:outer c3\nouter: 89f7 jmp:wrapper\nwrapper: 89f8 0f05 c3", "getpid", ""},
	{"ArgumentOnTheStack", elf.EM_X86_64, "start: 6a27 call:wrapper 59 c3\nwrapper: 8b442408 0f05 c3", "getpid", ""},
	{"ArgumentComesBackAround", elf.EM_X86_64, "start: bf27000000 call:wrapper c3\nwrapper: 89f8 0f05 call:wrapper c3", "getpid", ""},
	{"AddressOfAWrapperHidesCallers", elf.EM_X86_64, "start: 488d05 rel:wrapper bf27000000 call:wrapper c3\nwrapper: 89f8 0f05 c3", "getpid", "its address is in code"},
	{"AddressInDataIsReached", elf.EM_X86_64, "start: c3\nlater: b827000000 0f05 c3\nTABLE: 90909090909090 addr:later", "getpid", ""},
	{"CallThroughAWord", elf.EM_X86_64, "start: bf27000000 ff15 rel:TABLE c3\nfill: 90909090\nwrapper: 89f8 0f05 c3 909090\nTABLE: addr:wrapper", "getpid", "its address is in data"},
	{"FallingIntoTheNextFunction", elf.EM_X86_64, "start: b827000000\nnext: 0f05 c3", "getpid", ""},
	{"JumpTableLeadsBehindTheConstant", elf.EM_X86_64, "start: b86e000000 488d15 rel:TABLE 48630cba 4801d1 ffe1 b827000000 0f05 c3\nTABLE: off:start+15-TABLE off:start+1a-TABLE", "getpid getppid", ""},
	{"UnreachedFunctionDoesNotCount", elf.EM_X86_64, "start: b827000000 0f05 c3\nother: b86e000000 0f05 c3", "getpid", ""},
	{"NumberOutsideTheTable", elf.EM_X86_64, "start: b8ffffffff 0f05 c3", "", "passes -1, which is no call of x86_64"},
	{"NumberAfterAnUnknownInstruction", elf.EM_X86_64, "start: b827000000 06 0f05 c3", "", "the number is computed"},
	{"CompatibilityCallHasItsOwnTable", elf.EM_X86_64, "start: b814000000 cd80 c3", "getpid/x86", ""},

	{"ConstantOfI386", elf.EM_386, "start: b814000000 cd80 c3", "getpid", ""},
	{"GateOfTheThreadControlBlock", elf.EM_386, "start: b814000000 65ff1510000000 c3", "getpid", ""},
	{"CodeThatFindsItselfKeepsTheNumber", elf.EM_386, "start: b814000000 call:thunk cd80 c3\nthunk: 8b1c24 c3", "getpid", ""},
	{"ArgumentOnTheStackOfI386", elf.EM_386, "start: 6a14 call:wrapper 59 c3\nwrapper: 8b442404 cd80 c3", "getpid", ""},
	{"CalleeThatPopsItsArgument", elf.EM_386, "start: 6a14 83ec40 50 call:other 83c440 58 cd80 c3\nother: c20400", "getpid", ""},
	{"MultiplexerSaysWhatItServes", elf.EM_386, "start: b866000000 bb01000000 cd80 c3", "socket socketcall", ""},

	{"GateKeepsTheOtherRegisters", elf.EM_386, "start: b801000000 b914000000 65ff1510000000 89c8 cd80 c3", "exit getpid", ""},

	{"ConstantOfARM64", elf.EM_AARCH64, "start: =d2801588 =d4000001 =d65f03c0", "getpid", ""},
	{"BitPatternOfARM64", elf.EM_AARCH64, "start: =b24017e8 =d4000001 =d65f03c0", "read", ""},
	{"SelectionOfARM64", elf.EM_AARCH64, "start: =d2801581 =d28015a2 =9a820028 =d4000001 =d65f03c0", "getpid getppid", ""},
	{"StackOfARM64", elf.EM_AARCH64, "start: =d2801589 =f81f0fe9 =f94003e8 =d4000001 =d65f03c0", "getpid", ""},
	{"BranchOnZeroOfARM64", elf.EM_AARCH64, "start: =f9400008 =b5000068 =d4000001 =d65f03c0 =d65f03c0", "io_setup", ""},
	{"ArgumentOfARM64", elf.EM_AARCH64, "start: =d2801580 bl:wrapper =d65f03c0\nwrapper: =aa0003e8 =d4000001 =d65f03c0", "getpid", ""},
	{"CallOfARM64LosesScratchRegisters", elf.EM_AARCH64, "start: =d2801588 bl:other =d4000001 =d65f03c0\nother: =d65f03c0", "", "the number is computed"},
}

func TestNumbersAreResolved(t *testing.T) {
	for _, test := range resolutions {
		t.Run(test.name, func(t *testing.T) {
			result, err := Program(tree{"/p": listing{test.machine, test.text}.assemble(t)}.open, "/p", Options{})
			if err != nil {
				t.Fatal(err)
			}
			var calls []string
			for _, c := range result.Calls {
				name := c.Call.String()
				if c.ABI != result.ABI {
					name += "/" + c.ABI.Name
				}
				calls = append(calls, name)
			}
			want := strings.Fields(test.calls)
			slices.Sort(calls)
			slices.Sort(want)
			if !slices.Equal(calls, want) {
				t.Errorf("calls %v, want %v", calls, want)
			}
			if test.unresolved == "" && len(result.Unresolved) > 0 || test.unresolved != "" && (len(result.Unresolved) != 1 || !strings.Contains(result.Unresolved[0].Why, test.unresolved)) {
				t.Errorf("unresolved %v, want %q", result.Unresolved, test.unresolved)
			}
		})
	}
}
