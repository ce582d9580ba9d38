/** `enum vif_flags` of the datapath's types.h: the bits that the model sets. */
export const VIF_POLICY = 0x1
export const VIF_L3 = 0x40
export const VIF_L2 = 0x80
export const VIF_VHOST_PHYS = 0x200
export const VIF_ETREE_ROOT = 0x200000
/** Ours: it has addresses beside the first of each family. */
export const VIF_MORE_ADDRESSES = 0x40000000

export const FABRIC_FLAGS = VIF_L3 | VIF_L2 | VIF_VHOST_PHYS | VIF_ETREE_ROOT
export const VHOST_FLAGS = VIF_L3 | VIF_L2 | VIF_ETREE_ROOT
export const AGENT_FLAGS = VIF_L3 | VIF_ETREE_ROOT
export const POD_FLAGS = VIF_POLICY | VIF_L3 | VIF_L2 | VIF_ETREE_ROOT
