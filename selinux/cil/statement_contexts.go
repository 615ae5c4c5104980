// SPDX-License-Identifier: Apache-2.0

package cil

import "github.com/bulkhead-project/bulkhead/selinux/cil/syntax"

// contextStatements give contexts to what the kernel and its administrators label.
var contextStatements = map[string]*keyword{
	"sid":        {check: takes(name("sid")), declare: declareSID},
	"sidorder":   {check: takes(operand{name: "(sid ...)", shape: words}), resolve: resolveOrder(kindSID), stage: stageOrder},
	"sidcontext": {check: takes(name("sid"), contextOperand), resolve: resolveSIDContext},
	"context": {check: takes(name("context"), operand{name: "(user role type levelrange)", shape: list(contextList)}),
		declare: declareDefinition(kindContext), resolve: resolveContext},
	"filecon":      {check: takes(name("path"), fileTypeOperand, operand{name: "context", shape: contextOrNone}), resolve: resolveFileContext},
	"genfscon":     {check: takes(name("filesystem"), name("path"), optionally(fileTypeOperand), contextOperand), resolve: resolveGenericContext},
	"fsuse":        {check: takes(operand{name: "xattr|task|trans", shape: oneOf("xattr", "task", "trans")}, name("filesystem"), contextOperand), resolve: resolveUse},
	"netifcon":     {check: takes(name("interface"), contextOperand, packetOperand), resolve: resolveInterface},
	"ibpkeycon":    {check: takes(name("subnet"), operand{name: "keys", shape: numbers(0, 16)}, contextOperand), resolve: resolveInfinibandKey},
	"ibendportcon": {check: takes(name("device"), operand{name: "port", shape: numberOf(10, 8)}, contextOperand), resolve: resolveInfinibandPort},
	"portcon":      {check: takes(protocolOperand, operand{name: "ports", shape: numbers(10, 16)}, contextOperand), resolve: resolvePort},
	"nodecon":      {check: takes(addressOperand("address"), addressOperand("mask"), contextOperand), resolve: resolveNode},
	"ipaddr":       {check: takes(name("ipaddr"), operand{name: "address", shape: address}), declare: declareDefinition(kindAddress)},
}

var (
	packetOperand   = operand{name: "packet-context", shape: orWord(contextList)}
	protocolOperand = operand{name: "protocol", shape: oneOf("tcp", "udp", "dccp", "sctp")}
	fileTypeOperand = operand{name: "file-type", shape: oneOf("any", "file", "dir", "char", "block", "socket", "pipe", "symlink")}
)

var fileKinds = map[string]fileKind{"any": fileAny, "file": fileRegular, "dir": fileDirectory, "char": fileCharacter, "block": fileBlock, "socket": fileSocket,
	"pipe": filePipe, "symlink": fileSymlink}

// behaviors of file systems, by the kernel's numbers (SECURITY_FS_USE_*).
var behaviors = map[string]uint32{"xattr": 1, "trans": 2, "task": 3}

func optionally(o operand) operand {
	o.optional = true
	return o
}

// contextOrNone may be (), which is <<none>>.
func contextOrNone(node syntax.Node) error {
	if node.IsList() && node.Len() == 0 {
		return nil
	}
	return contextOperand.shape(node)
}

func declareSID(d *declarer, s statement) error { return d.declare(s, kindSID, s.operand(1), &sid{}) }

// context resolves a name of a context, or (user role type levelrange).
func (r *resolver) context(scope *scope, node syntax.Node) (context, error) {
	if !node.IsList() {
		found, err := find[*definition](r, scope, kindContext, node)
		if err != nil {
			return context{}, err
		}
		return defined(r, place{node, scope}, found, contextList, r.contexts, r.context)
	}
	resolved, part := context{at: place{node, scope}}, node.First()
	var err error
	if resolved.user, err = r.findUser(scope, part); err != nil {
		return resolved, err
	}
	part = part.Next()
	if resolved.role, err = r.findRole(scope, part); err != nil {
		return resolved, err
	}
	part = part.Next()
	if resolved.types, err = r.findType(scope, part); err != nil {
		return resolved, err
	}
	resolved.levels, err = r.levelRange(scope, part.Next())
	return resolved, err
}

func resolveContext(r *resolver, s statement) (item, error) {
	found, err := r.context(s.scope, s.operand(1))
	return &namedContext{found}, err
}

// namedContext is a context that has a name, which is checked whether it is used or not.
type namedContext struct{ context }

func (n *namedContext) addTo(m *model) { m.namedContexts = append(m.namedContexts, n.context) }

func resolveSIDContext(r *resolver, s statement) (item, error) {
	of, err := find[*sid](r, s.scope, kindSID, s.operand(1))
	if err != nil {
		return nil, err
	}
	found, err := r.context(s.scope, s.operand(2))
	return &sidContext{s.place(), of, found}, err
}

func (c *sidContext) addTo(m *model) { m.sidContexts = append(m.sidContexts, *c) }

func resolveFileContext(r *resolver, s statement) (item, error) {
	path, _ := r.argument(s.scope, kindName, s.operand(1))
	file := &fileContext{at: s.place(), path: path.Word(), kind: fileKinds[s.operand(2).Word()]}
	if node := s.operand(3); !node.IsList() || node.Len() > 0 {
		found, err := r.context(s.scope, node)
		if err != nil {
			return nil, err
		}
		file.context = &found
	}
	return file, nil
}

func (c *fileContext) addTo(m *model) { m.files = append(m.files, *c) }

func resolveGenericContext(r *resolver, s statement) (item, error) {
	generic := &genericContext{at: s.place(), filesystem: s.operand(1).Word(), path: s.operand(2).Word()}
	last := s.operand(3)
	if last.Next().Valid() {
		generic.kind = fileKinds[last.Word()]
		last = last.Next()
	}
	var err error
	generic.context, err = r.context(s.scope, last)
	return generic, err
}

func (c *genericContext) addTo(m *model) { m.filesystems = append(m.filesystems, *c) }

func resolveUse(r *resolver, s statement) (item, error) {
	found, err := r.context(s.scope, s.operand(3))
	return &useContext{s.place(), behaviors[s.operand(1).Word()], s.operand(2).Word(), found}, err
}

func (c *useContext) addTo(m *model) { m.uses = append(m.uses, *c) }
