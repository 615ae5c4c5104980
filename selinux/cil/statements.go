// SPDX-License-Identifier: Apache-2.0

package cil

// statementFamilies are the statements that do not make the tree themselves, by what they are about.
var statementFamilies = []map[string]*keyword{
	typeStatements, roleStatements, userStatements, classStatements, levelStatements, ruleStatements, extendedStatements, conditionStatements, constraintStatements,
	contextStatements, policyStatements, xenStatements,
}
