// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"github.com/bulkhead-project/bulkhead/selinux/cil/syntax"
	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// model is what the sources say once every name is resolved: blocks are inherited, macros called, optionals kept or left out. Each list is in the order in
// which the statements stand in the tree after that, the contents of a block where it is inherited and of a macro where it is called: values of symbols
// follow from it, and with them the bytes of the policy.
type model struct {
	unfinished
	mls           *bool                        // (mls true|false); nil: not said
	handleUnknown *policydb.UnknownPermissions // nil: not said

	// Symbols, each once, in the order of their first declarations; ordered ones in the order of the merged order statements.
	commons       []*class
	classes       []*class // classorder, then unordered
	classMaps     []*class
	sids          []*sid // sidorder
	types         []*typ // types and attributes mixed, as they are declared; aliases are not among them
	aliases       []*alias
	roles         []*role // roles and role attributes
	users         []*user // users and user attributes
	booleans      []*boolean
	sensitivities []*sensitivity // sensitivityorder
	categories    []*category    // categoryorder
	policyCaps    []named

	// What is said of symbols.
	typeSets       []attributeSet[*typ]
	roleSets       []attributeSet[*role]
	userSets       []attributeSet[*user]
	expand         []expandAttribute
	permissive     []*typ
	typeBounds     []bounds[*typ]
	roleBounds     []bounds[*role]
	userBounds     []bounds[*user]
	roleTypes      []roleType
	userRoles      []userRole
	userLevels     []userLevel
	userRanges     []userRange
	userPrefixes   []userPrefix
	seusers        []selinuxUser
	sensCategories []sensitivityCategory
	classCommons   []classCommon
	mappings       []classMapping
	defaults       []classDefault
	defaultRanges  []classDefaultRange

	// Rules.
	rules            []*accessRule // allow, auditallow, dontaudit, neverallow and their x forms, outside of conditions
	denies           []*accessRule // deny: taken away from what the allow rules give
	typeRules        []*typeRule
	conditions       []*condition // booleanif
	roleTransitions  []roleTransition
	roleAllows       []roleAllow
	rangeTransitions []rangeTransition
	constraints      []constraint // constrain and mlsconstrain
	transitions      []constraint // validatetrans and mlsvalidatetrans

	// Contexts of objects, as they are written; sorted and held against each other by the second half.
	namedContexts   []context // checked, whether they are used or not
	sidContexts     []sidContext
	files           []fileContext
	ports           []portContext
	nodes           []nodeContext
	interfaces      []interfaceContext
	filesystems     []genericContext // genfscon
	uses            []useContext     // fsuse
	infinibandKeys  []infinibandKeyContext
	infinibandPorts []infinibandPortContext
}

// item is one resolved statement. Resolving has no side effect but for the item: an optional that turns out to be unresolvable drops those of its statements.
type item interface{ addTo(*model) }

// place is where something is said: a node of the source, and the calls and inheritances that brought it there, which errors tell.
type place struct {
	node  syntax.Node
	scope *scope
}

// named is the part that all symbols have.
type named struct {
	name     string // fully qualified, with dots, as it stands in the policy
	declared place
	value    uint32 // in the policy that the sources are compiled onto; 0 for what they declare themselves, until values are given
	number   uint32 // of types, while the policy is built: their bit in sets of types (build_type.go)
}

// typ is a type or an attribute. The types self, notself and other are those of the package.
type typ struct {
	named
	attribute bool
	made      *attribute // of an attribute, while the policy is built
}

// The words that may stand for a target.
var (
	typeSelf    = &typ{named: named{name: "self"}}
	typeNotSelf = &typ{named: named{name: "notself"}}
	typeOther   = &typ{named: named{name: "other"}}
)

// alias is another name of a type, sensitivity or category.
type alias struct {
	named
	of symbol // *typ, *sensitivity or *category; never an alias
}

type role struct {
	named
	attribute bool
}

type user struct {
	named
	attribute bool
}

type boolean struct {
	named
	state bool
}

// class is a class, a common or a class map.
type class struct {
	named
	kind        classKind
	permissions []*permission          // its own, as declared
	byName      map[string]*permission // the same, of class maps: those may have any number
	common      *class                 // of a class of the policy compiled onto; what sources say is in model.classCommons
}

type classKind uint8

const (
	classPlain classKind = iota
	classCommonKind
	classMapKind
)

type permission struct {
	name  string
	value uint32 // as named.value
}

type sid struct{ named }

type sensitivity struct{ named }

type category struct{ named }

// symbol is what a name may stand for.
type symbol interface{ symbol() *named }

func (n *named) symbol() *named { return n }

// expression is a set of symbols: a symbol (operator setSymbol), or an operator with operands.
type expression[T any] struct {
	operator setOperator
	symbol   T
	operands []expression[T]
	low      uint32 // of setRange over permission numbers
	high     uint32
}

type setOperator uint8

const (
	setSymbol setOperator = iota
	setAll
	setAnd
	setOr // also a plain list
	setXor
	setNot
	setRange // of categories: operands low and high; of permission numbers: low and high
)

type attributeSet[T any] struct {
	at        place
	attribute T
	set       expression[T]
}

type expandAttribute struct {
	attributes []*typ
	expand     bool
}

type bounds[T any] struct {
	at            place
	parent, child T
}

type roleType struct {
	role  *role // may be an attribute
	types *typ  // likewise
}

type userRole struct {
	user *user
	role *role
}

type userLevel struct {
	at    place
	user  *user
	level level
}

type userRange struct {
	at     place
	user   *user
	levels levelRange
}

type userPrefix struct {
	user   *user
	prefix string
}

// selinuxUser is a line of seusers; login "" is selinuxuserdefault.
type selinuxUser struct {
	login  string
	user   *user
	levels levelRange
}

type sensitivityCategory struct {
	at          place
	sensitivity *sensitivity
	categories  expression[*category]
}

type classCommon struct {
	at            place
	class, common *class
}

// classMapping gives a permission of a class map what it stands for.
type classMapping struct {
	at         place
	class      *class
	permission *permission
	means      []classPermissions
}

// classPermissions are permissions of one class, which may be a class map. Named sets (classpermission) are replaced by what they hold.
type classPermissions struct {
	at          place
	set         *definition // a named set, until finish puts in what it holds
	class       *class
	permissions expression[*permission]
}

type classDefault struct {
	at      place
	what    defaultKind
	classes []*class
	target  bool // else source
}

type defaultKind uint8

const (
	defaultUser defaultKind = iota
	defaultRole
	defaultType
)

type classDefaultRange struct {
	at      place
	classes []*class
	value   uint32 // policydb's, of libsepol's policydb.h: 1 source low ... 6 target low-high, 7 glblub
}

// level is a sensitivity and categories; a name for it is already resolved.
type level struct {
	at          place
	sensitivity *sensitivity
	categories  *expression[*category] // nil: none
}

type levelRange struct{ low, high level }

type context struct {
	at     place
	user   *user
	role   *role
	types  *typ
	levels levelRange
}

// ruleKind is the kind of an access rule.
type ruleKind uint8

const (
	ruleAllow ruleKind = iota
	ruleAuditAllow
	ruleDontAudit
	ruleNeverAllow
	ruleDeny
)

type accessRule struct {
	at             place
	kind           ruleKind
	source, target *typ // target may be typeSelf, typeNotSelf or typeOther
	permissions    []classPermissions
	extended       *extendedPermissions // of the x forms; permissions is then nil
}

// extendedPermissions are numbers of ioctl commands or netlink messages of a class.
type extendedPermissions struct {
	at      place
	kind    extendedKind
	class   *class
	numbers expression[struct{}] // setRange for single numbers too
}

type extendedKind uint8

const (
	extendedIoctl extendedKind = iota
	extendedNetlink
)

// typeRule is a typetransition (with and without a name), typechange or typemember.
type typeRule struct {
	at             place
	kind           uint16 // policydb.RuleTransition, RuleMember or RuleChange
	source, target *typ
	class          *class
	object         string // of a typetransition by name
	named          bool   // it has a name, which may be "*" (then it is a plain one, as the reference has it)
	result         *typ
}

// condition is a booleanif. Its branches hold access and type rules only.
type condition struct {
	at          place
	test        booleanExpression
	True, False branch
}

type branch struct {
	rules []*accessRule
	types []*typeRule
}

type booleanExpression struct {
	operator booleanOperator
	boolean  *boolean
	operands []booleanExpression
}

type booleanOperator uint8

const (
	booleanName booleanOperator = iota
	booleanAnd
	booleanOr
	booleanXor
	booleanNot
	booleanEqual
	booleanNotEqual
)

type roleTransition struct {
	at     place
	role   *role
	types  *typ
	class  *class
	result *role
}

type roleAllow struct{ source, target *role }

type rangeTransition struct {
	at             place
	source, target *typ
	class          *class
	levels         levelRange
}

type constraint struct {
	at          place
	mls         bool
	permissions []classPermissions // of transitions: the class with no permissions
	test        constraintExpression
}

// constraintExpression is an operator over operands, or a comparison (operator constraintCompare).
type constraintExpression struct {
	at         place
	operator   constraintOperator
	operands   []constraintExpression
	comparison comparison
}

type constraintOperator uint8

const (
	constraintCompare constraintOperator = iota
	constraintAnd
	constraintOr
	constraintNot
)

// comparison compares two attributes of the contexts (r1 r2), or one with names (t1 in types).
type comparison struct {
	operator  uint32 // policydb.Operator...
	attribute uint32 // policydb.Attribute...; both where two attributes are compared
	names     bool
	users     []*user
	roles     []*role
	types     []*typ
}

type sidContext struct {
	at      place
	sid     *sid
	context context
}

// fileContext is a filecon. A nil context is <<none>>.
type fileContext struct {
	at      place
	path    string
	kind    fileKind
	context *context
}

type fileKind uint8

const (
	fileAny fileKind = iota
	fileRegular
	fileDirectory
	fileCharacter
	fileBlock
	fileSocket
	filePipe
	fileSymlink
)

type portContext struct {
	at        place
	protocol  uint32 // IPPROTO_*
	low, high uint32
	context   context
}

// nodeContext has 4 or 16 bytes in both.
type nodeContext struct {
	at            place
	address, mask []byte
	context       context
}

type interfaceContext struct {
	at                 place
	name               string
	interfaces, packet context
}

type genericContext struct {
	at               place
	filesystem, path string
	kind             fileKind
	context          context
}

type useContext struct {
	at         place
	behavior   uint32 // policydb.FilesystemUse
	filesystem string
	context    context
}

type infinibandKeyContext struct {
	at        place
	prefix    uint64
	low, high uint32
	context   context
}

type infinibandPortContext struct {
	at      place
	device  string
	port    uint32
	context context
}
