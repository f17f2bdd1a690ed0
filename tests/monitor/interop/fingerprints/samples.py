"""Rows in the form of the published lists, and rows that somebody made to do harm."""

from __future__ import annotations

OONI_HEAD = (
    b"name,scope,other_names,location_found,pattern_type,pattern,confidence_no_fp,"
    b"expected_countries,source,exp_url,notes\n"
)
OONI_HTTP = OONI_HEAD + (
    b'ooni.ae_0,nat,ooni.sa_1,header.server,prefix,Protected by WireFilter,5,"AE,SA",ooni,,\n'
    b"ooni.ae_2,isp,,header.location,prefix,http://lighthouse.du.ae,5,AE,ooni,,\n"
    b"ooni.be_1,inst,,header.via,full,1.1 webfilter.example (x/3.5.16),5,BE,ooni,,\n"
    b'ooni.fr_0,nat,ooni.gf_0,body,contains,"xtpage = ""page-blocage-terrorisme""",5,"FR,GF",o,,\n'
    b"cp.e_unk_id_blocked,,,body,contains,Anda di blokir!!!,5,,censored planet,,\n"
    b'cp.e_unk_id_blocked,,,body,contains,"Maaf, Situs Yang Anda Akses",5,,censored planet,,\n'
    b"cp.e_unk_style_red,isp,,body,regexp,<span style=.*color:red;.*>\\(stop,5,,censored planet,,\n"
    b"cp.fp_x_index_of,fp,,body,contains,Index of /,5,,censored planet,,\n"
    b'cp.two_lines,isp,,body,contains,"first\nsecond",5,,censored planet,,\n'
)
OONI_DNS = OONI_HEAD + (
    b"ooni.by_4,isp,cl.dns_isp_by_mts,dns,full,134.17.0.7,5,BY,ooni,,A block on mobile\n"
    b"ooni.id_51,isp,,dns,full,blockpage.xl.co.id,5,ID,ooni,,An alias\n"
    b'ooni.zz_4,,cl.dns_prod,dns,full,185.228.168.254,5,",ZZ",ooni,,A content filter\n'
    b"cl.dns_br_allzero,br,,dns,full,0.0.0.0,10,,,,By convention\n"
)
LAB_HTTP = (
    b"name,common_name,pattern,location_found,exp_url,confidence_no_fp,source,scope,"
    b"expected_countries,notes\n"
    b"isp_by_mts_forward,MTS,internet.mts.by/blocked/,header,,10,['https://mts.by/'],isp,['BY'],n\n"
    b"prod_x,X,Server: Stopper,header,,10,[''],prod,[],n\n"
    b"isp_x,X,Location: http://stop.example/,header,,10,[],isp,\"['TH', 'MY']\",n\n"
    b"injb_router,R,/main/fwUpInfoBlock.htm,body,,10,['https://t.example/1'],injb,[],n\n"
)
LAB_DNS = (
    b"name,response,confidence_no_fp,exp_url,source,scope,expected_countries,notes\n"
    b"dns_isp_ca_shaw_block,64.59.135.158,10,,[''],isp,['CA'],Blockpage\n"
    b"dns_br_localhost,127.0.0.1,10,,[],br,[''],Localhost\n"
)


def row(**given: str) -> bytes:
    """A file with one sound row of OONI's, changed."""
    values = {
        "name": "x.y",
        "scope": "isp",
        "other_names": "",
        "location_found": "body",
        "pattern_type": "contains",
        "pattern": "Walled garden",
        "confidence_no_fp": "5",
        "expected_countries": "",
        "source": "s",
        "exp_url": "",
        "notes": "",
    } | given
    quoted = ('"' + value.replace('"', '""') + '"' for value in values.values())
    return OONI_HEAD + ",".join(quoted).encode() + b"\n"
