# SPDX-License-Identifier: Apache-2.0
"""Rates of os-ken for one flow_mod, whose bytes are given in hex."""

import sys
import time
from importlib.metadata import version

from os_ken.ofproto import ofproto_parser
from os_ken.ofproto import ofproto_v1_5
from os_ken.ofproto import ofproto_v1_5_parser as parser
from os_ken.ofproto.ofproto_protocol import ProtocolDesc

ROUNDS = 5
CALLS = 1000


def build(datapath, number):
    match = parser.OFPMatch(
        eth_type=0x0800,
        ipv4_dst=0x0A000000 + number,
        ip_proto=6,
        tcp_dst=443,
        reg0=(0x10, 0xF0),
        ct_state=(0x22, 0x22),
    )
    actions = [
        parser.OFPActionSetField(reg1=number),
        parser.NXActionCT(
            flags=1, zone_src="", zone_ofs_nbits=0xC1, recirc_table=255, alg=0, actions=[]
        ),
        parser.NXActionResubmitTable(in_port=0xFFF8, table_id=20),
    ]
    apply = parser.OFPInstructionActions(ofproto_v1_5.OFPIT_APPLY_ACTIONS, actions)
    flow_mod = parser.OFPFlowMod(
        datapath,
        cookie=0x0100000000000000 + number,
        table_id=10,
        priority=100,
        match=match,
        instructions=[apply],
    )
    flow_mod.set_xid(1)
    return flow_mod


def encode(flow_mod):
    flow_mod.serialize()
    return bytes(flow_mod.buf)


def decode(datapath, message):
    version, kind, length, xid = ofproto_parser.header(message)
    return ofproto_parser.msg(datapath, version, kind, length, xid, message)


def best(work):
    rate = 0
    for _ in range(ROUNDS):
        start = time.process_time()
        for number in range(CALLS):
            work(number)
        rate = max(rate, CALLS / (time.process_time() - start))
    return rate


def main():
    wanted = bytes.fromhex(sys.argv[1])
    datapath = ProtocolDesc(version=ofproto_v1_5.OFP_VERSION)
    made = encode(build(datapath, 1))
    same = "the same bytes" if made == wanted else f"{len(made)} bytes in another order of fields"
    print(f"os-ken {version('os-ken')} ({same}), CPU time, best of {ROUNDS} rounds of {CALLS}")
    print(best(lambda number: encode(build(datapath, number))), "build + encode")
    print(best(lambda number: decode(datapath, wanted)), "decode one message")


main()
