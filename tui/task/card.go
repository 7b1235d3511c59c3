package task

import "carrel/engine/card"

// Card is what an image or a catalog entry says of itself; the parts of it.
type (
	Card     = card.Card
	CardPort = card.Port
	CardBind = card.Bind
	CardArg  = card.Arg
	CardEnv  = card.Env
)

// The values of some of its fields that the screens branch on.
const (
	BindReadOnly = card.ReadOnly
	ProtoTCP     = card.TCP
	ProtoHTTPS   = card.HTTPS
	WritableKeep = card.Keep
	WritableAsk  = card.Ask
)
