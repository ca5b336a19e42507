// SPDX-License-Identifier: Apache-2.0
//! Flows with every match and every action that ovs-ofctl can write.

use anyhow::Result;

use super::stage::Stage;

pub(super) fn flows(stage: &Stage) -> Result<()> {
    stage.each(
        &["add-flow", "BR"],
        &[
            "table=0,priority=5,cookie=0x11,in_port=1,actions=output:2",
            "table=1,priority=6,cookie=0x12,idle_timeout=300,hard_timeout=600,importance=9,\
             send_flow_rem,check_overlap,tcp,nw_dst=10.0.0.0/8,tp_dst=443,actions=goto_table:2",
            "table=2,reset_counts,no_packet_counts,no_byte_counts,arp,actions=NORMAL",
            "table=2,ip,actions=write_actions(set_field:1->tun_id,output:1),write_metadata:0x11/0xff,\
             goto_table:7",
            "table=3,ipv6,actions=clear_actions,goto_table:4",
            ],
    )?;
    stage.each(
        &["mod-flows", "BR"],
        &[
            "table=1,tcp,actions=drop",
            "cookie=0x11/-1,actions=output:1",
        ],
    )?;
    stage.ofctl(&[
        "--strict",
        "mod-flows",
        "BR",
        "table=0,priority=5,in_port=1,actions=LOCAL",
    ])?;
    for dump in ["dump-flows", "dump-aggregate"] {
        stage.ofctl(&[dump, "BR"])?;
        stage.each(
            &[dump, "BR"],
            &["table=1,tcp", "cookie=0x11/0xff,out_port=2"],
        )?;
    }
    stage.each(
        &["del-flows", "BR"],
        &["table=2,arp", "cookie=0x12/-1", "out_port=LOCAL"],
    )?;
    stage.ofctl(&["--strict", "del-flows", "BR", "table=3,priority=32768,ipv6"])?;
    stage.ofctl(&["dump-flows", "BR"])?;
    stage.ofctl(&["dump-tables", "BR"])
}

pub(super) fn matches(stage: &Stage) -> Result<()> {
    stage.each(
        &["add-flow", "BR"],
        &[
            "in_port=1,dl_src=02:00:00:00:00:01,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,actions=drop",
            "dl_vlan=5,dl_vlan_pcp=3,actions=drop",
            "vlan_tci=0x1000/0x1000,actions=drop",
            "vlan_tci=0,actions=drop",
            "ip,nw_src=10.0.0.0/255.0.0.255,nw_tos=32,nw_ecn=1,nw_ttl=64,ip_frag=no,actions=drop",
            "ip,ip_frag=not_later,nw_proto=47,actions=drop",
            "tcp,tp_src=0x1000/0xf000,tcp_flags=+syn-ack,actions=drop",
            "udp,tp_src=53,actions=drop",
            "sctp,tp_dst=80,actions=drop",
            "icmp,icmp_type=8,icmp_code=0,actions=drop",
            "ipv6,ipv6_src=fd00::/8,ipv6_dst=fd00::1,ipv6_label=0x12345,actions=drop",
            "udp6,tp_dst=53,actions=drop",
            "icmp6,icmpv6_type=135,nd_target=fd00::2,nd_sll=02:00:00:00:00:02,actions=drop",
            "icmp6,icmpv6_type=136,icmpv6_code=0,nd_tll=02:00:00:00:00:03,actions=drop",
            "arp,arp_op=1,arp_spa=10.0.0.1,arp_tpa=10.0.0.2/31,arp_sha=02:00:00:00:00:01,\
             arp_tha=00:00:00:00:00:00,actions=drop",
            "rarp,actions=drop",
            "mpls,mpls_label=100,mpls_tc=3,mpls_bos=1,mpls_ttl=9,actions=drop",
            "tun_id=0x5/0xff,tun_src=10.0.0.1,tun_dst=10.0.0.2,tun_flags=+oam,actions=drop",
            "tun_ipv6_src=fd00::1,tun_ipv6_dst=fd00::2,tun_gbp_id=3,tun_gbp_flags=0x8,actions=drop",
            "metadata=0x1234/0xffff,pkt_mark=0x7,actions=drop",
            "reg0=1,reg1=2/3,reg2=3,reg3=4,reg4=5,reg5=6,reg6=7,reg7=8,actions=drop",
            "reg8=1,reg9=2/3,reg10=3,reg11=4,reg12=5,reg13=6,reg14=7,reg15=8,actions=drop",
            "xreg0=0x100000001,xreg7=0x5/0xff,actions=drop",
            "xxreg1=0x1/0xffffffffffffffffffffffffffffffff,actions=drop",
            "ct_state=+trk+est-rel,ct_zone=5,ct_mark=0x1/0x1,ct_label=0x5,actions=drop",
            "ct_state=+trk+est,tcp,ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.0/8,ct_nw_proto=6,\
             ct_tp_src=1,ct_tp_dst=2,actions=drop",
            "ct_state=+trk+est,udp6,ct_ipv6_src=fd00::1,ct_ipv6_dst=fd00::/8,ct_nw_proto=17,\
             ct_tp_dst=53,actions=drop",
            "conj_id=7,actions=drop",
            "actset_output=1,actions=drop",
            "recirc_id=0,actions=drop",
            "eth_type=0x88cc,actions=drop",
        ],
    )?;
    stage.ofctl(&["dump-flows", "BR"])
}

pub(super) fn actions(stage: &Stage) -> Result<()> {
    stage.ofctl(&[
        "add-group",
        "BR",
        "group_id=5,type=all,bucket=actions=output:1",
    ])?;
    stage.ofctl(&["add-meter", "BR", "meter=3,kbps,band=type=drop,rate=1000"])?;
    let flows: Vec<String> = ACTIONS
        .iter()
        .zip(1u32..)
        .map(|((flow_match, actions), number)| {
            format!("priority={number},{flow_match}actions={actions}")
        })
        .collect();
    let flows: Vec<&str> = flows.iter().map(String::as_str).collect();
    stage.each(&["add-flow", "BR"], &flows)?;
    stage.ofctl(&["dump-flows", "BR"])
}

/// What must be matched first, and actions.
const ACTIONS: &[(&str, &str)] = &[
    ("", "output:1,IN_PORT,LOCAL,FLOOD,ALL,NORMAL"),
    ("", "group:5"),
    ("", "meter:3,output:1"),
    ("", "set_queue:1,output:1,pop_queue"),
    ("ip,", "dec_ttl,dec_ttl(1,2),mod_nw_ttl:9"),
    (
        "",
        "push_vlan:0x8100,set_field:4101->vlan_vid,set_field:3->vlan_pcp,pop_vlan",
    ),
    (
        "",
        "push_mpls:0x8847,set_field:5->mpls_label,set_mpls_ttl:9,dec_mpls_ttl,pop_mpls:0x0800",
    ),
    (
        "",
        "set_field:1->reg0,set_field:0x1/0xf->reg1,set_field:0x5->xreg1,set_field:0x9->xxreg3",
    ),
    (
        "",
        "set_field:02:00:00:00:00:01->eth_src,set_field:5->tun_id,set_field:0x1->metadata",
    ),
    (
        "tcp,",
        "set_field:10.0.0.1->ip_src,set_field:80->tcp_dst,set_field:3->nw_ecn",
    ),
    (
        "udp6,",
        "set_field:fd00::1->ipv6_src,set_field:0x5->ipv6_label,set_field:53->udp_dst",
    ),
    (
        "arp,",
        "set_field:2->arp_op,move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],set_field:10.0.0.1->arp_spa",
    ),
    ("icmp6,icmpv6_type=135,", "set_field:fd00::1->nd_target"),
    (
        "",
        "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],move:NXM_NX_REG0[0..7]->NXM_NX_REG1[8..15]",
    ),
    (
        "",
        "move:NXM_NX_XXREG0[]->NXM_NX_XXREG1[],move:NXM_OF_IN_PORT[]->NXM_NX_REG2[0..15]",
    ),
    ("", "resubmit:5,resubmit(1,2),resubmit(,3)"),
    ("ct_state=+trk+est,ip,", "resubmit(,4,ct)"),
    ("", "output:NXM_NX_REG0[0..15],output(port=1,max_len=100)"),
    (
        "",
        "controller,controller(max_len=128,id=5),controller(reason=no_match)",
    ),
    (
        "",
        "controller(userdata=01.02.03,pause,max_len=64,id=3,reason=invalid_ttl,meter_id=3)",
    ),
    ("", "note:00.11.22.33.44.55.66,exit"),
    ("tcp,", "fin_timeout(idle_timeout=10,hard_timeout=20)"),
    ("", "push:NXM_NX_REG0[],pop:NXM_NX_REG1[0..15]"),
    ("", "conjunction(7,1/2)"),
    ("", "clone(set_field:0x1->reg1,output:1)"),
    (
        "",
        "sample(probability=1,collector_set_id=2,obs_domain_id=3,obs_point_id=4)",
    ),
    (
        "",
        "sample(probability=1,collector_set_id=2,obs_domain_id=3,obs_point_id=4,sampling_port=1)",
    ),
    (
        "",
        "sample(probability=1,collector_set_id=2,obs_domain_id=3,obs_point_id=4,sampling_port=1,ingress)",
    ),
    ("", "multipath(symmetric_l4,1024,hrw,4,0,NXM_NX_REG0[0..3])"),
    ("", "bundle(eth_src,0,hrw,ofport,members:1,2)"),
    (
        "",
        "bundle_load(eth_src,0,active_backup,ofport,NXM_NX_REG0[],members:1,2)",
    ),
    (
        "",
        "learn(table=9,idle_timeout=5,hard_timeout=9,priority=7,cookie=0x5,send_flow_rem,\
         NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],\
         load:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15],output:NXM_OF_IN_PORT[])",
    ),
    (
        "",
        "learn(table=9,limit=3,result_dst=NXM_NX_REG0[0],delete_learned,eth_type=0x0800,\
         load:0x5->NXM_NX_REG1[])",
    ),
    (
        "",
        "encap(nsh(md_type=1)),set_field:0x1234->nsh_spi,dec_nsh_ttl,encap(ethernet)",
    ),
    ("", "encap(mpls),decap()"),
    ("", "check_pkt_larger(1500)->NXM_NX_REG0[0]"),
    ("ip,", "ct(),ct_clear"),
    (
        "tcp,",
        "ct(commit,force,zone=5,table=6,alg=ftp,exec(set_field:0x1/0x1->ct_mark,set_field:0x5->ct_label))",
    ),
    ("ip,", "ct(zone=NXM_NX_REG0[0..15],nat)"),
    (
        "ip,",
        "ct(commit,nat(src=10.0.0.1-10.0.0.9:1000-2000,random,persistent))",
    ),
    ("ip,", "ct(commit,nat(dst=10.0.0.1:80,hash))"),
    ("tcp6,", "ct(commit,nat(src=fd00::1-fd00::9))"),
    (
        "tcp6,",
        "ct(commit,nat(dst=[fd00::1]:80),exec(move:NXM_NX_REG0[]->NXM_NX_CT_MARK[]))",
    ),
    ("ip,", "ct(commit,nat(src))"),
];
