"""Answers in the languages besides Italian, by the words of their files."""

import pytest

from ndino.languages.answers import reader
from ndino.languages.numerals import spelled

# An answer and the option that it names ("-" for none); two answers that mean the same; an answer and yes,
# no or neither.
READ = {
    "es": """
La respuesta es B = B | No es A, es B = B | A, mejor dicho, C = C | b) un gato = B | Me quedo con la B = B
Creo que la opción correcta es la C = C | Sin duda, la B = B | B porque es azul = B | Ni A ni B, sino C = C
La A queda descartada = - | A o B = - | La opción A es falsa = - | A la derecha = - | B (incorrecta) = -
2 mil ~ 2000 | dos mil ~ 2.000 | 2 millones de euros ~ 2.000.000 € | n.º 5 ~ 5 | menos cinco ~ -5
3 mil millones ~ 3000000000 | Es de color rojo ~ rojo | 5 kilómetros por hora ~ 5 km/h | treinta y una ~ 31
Se trata de un perro ~ perro | Sí, claro : yes | Si hay : - | No : no | La respuesta es sí : yes | Sí y no : -
""",
    "ca": """
La resposta és B = B | No és A, és B = B | A, més ben dit, C = C | M'inclino per la C = C | A o B = -
Sens dubte, la B = B | B perquè és blau = B | Ni A ni B, sinó C = C | L'A queda descartada = -
A la dreta = - | B (incorrecta) = - | dos milions d'euros ~ 2.000.000 € | vint-i-dues ~ 22 | l'home ~ home
2 mil ~ 2000 | 5 mil·límetres ~ 5 mm | dues-centes ~ 200 | És de color vermell ~ vermell
Sí, és clar : yes | Si n'hi ha : - | No : no | La resposta és no : no | Sí i no : -
""",
    "de": """
Die Antwort ist B = B | Die richtige Antwort ist C = C | Nicht A, sondern B = B | Ich würde sagen C = C
A oder B = -
B, weil es blau ist = B | Weder A noch B, sondern D = D | A ist falsch = - | Kein Zweifel, C = C
B (falsch) = -
A, besser gesagt C = C | Meiner Meinung nach B = B | 2 Millionen Euro ~ 2.000.000 € | einundzwanzig ~ 21
Nr. 5 ~ 5
der Hund ~ Hund | Es ist rot ~ rot | 12:30 Uhr ~ 12:30 | minus fünf ~ -5 | 5 Kilometer pro Stunde ~ 5 km/h
Ja, natürlich : yes | Nein : no | Die Antwort lautet nein : no | Ja und nein : -
""",
    "fr": """
La réponse est B = B | La bonne réponse est la C = C | Ce n'est pas A, c'est B = B | Je dirais C = C
A ou B = -
B parce qu'il est bleu = B | Ni A ni B, mais D = D | A est fausse = - | Sans aucun doute, C = C | A droite = -
A, ou plutôt C = C | À mon avis, B = B | deux millions d'euros ~ 2 000 000 € | quatre-vingt-onze ~ 91
septante ~ 70
l'homme ~ homme | C'est rouge ~ rouge | n° 5 ~ 5 | moins cinq ~ -5 | 5 kilomètres à l'heure ~ 5 km/h
2 mille ~ 2000
Oui, bien sûr : yes | Si elle est rouge : - | Non : no | La réponse est non : no | Oui et non : -
""",
    "pt": """
A resposta é B = B | A opção correta é a C = C | Não é A, é B = B | Eu diria C = C | A ou B = -
A direita = -
B porque é azul = B | Nem A nem B, mas D = D | A está errada = - | Sem dúvida, a C = C | Fico com a B = B
A, ou melhor, C = C | 2 milhões de euros ~ 2.000.000 € | trinta e uma ~ 31 | dezesseis ~ 16 | n.º 5 ~ 5
o cão ~ cão | É de cor vermelha ~ vermelha | menos cinco ~ -5 | 5 quilômetros por hora ~ 5 km/h | 2 mil ~ 2000
Sim, claro : yes | Não : no | A resposta é não : no | Sim e não : -
""",
    "sl": """
Odgovor je B = B | Pravilni odgovor je C = C | Ni A, ampak B = B | Rekel bi C = C | A ali B = -
B (napačno) = -
B, ker je modra = B | Niti A niti B, temveč D = D | A je napačen odgovor = - | Brez dvoma C = C
Po mojem mnenju B = B
A, bolje rečeno C = C | 2 milijona evrov ~ 2.000.000 € | enaindvajset ~ 21 | št. 5 ~ 5 | dve ~ 2
minus pet ~ -5
Je rdeče barve ~ rdeče barve | To je pes ~ pes | 5 kilometrov na uro ~ 5 km/h
Da, seveda : yes | Da je rdeča : - | Ne : no | Odgovor je da : yes | Da in ne : -
""",
    "sr": """
Одговор је B = B | Тачан одговор је C = C | Није A, него B = B | Рекао бих C = C | A или B = -
B (погрешно) = -
B, јер је плава = B | Ни A ни B, већ D = D | A је погрешан одговор = - | Без сумње C = C
По мом мишљењу B = B
A, боље речено C = C | 2 милиона евра ~ 2.000.000 € | двадесет један ~ 21 | двадесет и две ~ 22 | бр. 5 ~ 5
То је пас ~ пас | минус пет ~ -5 | 5 километара на час ~ 5 км/ч | деведесет девет ~ 99
Да, наравно : yes | Да је црвена : - | Не : no | Одговор је да : yes | Да и не : -
""",
}


@pytest.mark.parametrize("code", READ)
def test_answers_of_a_language_are_read(code):
    answers, wrong = reader(code), []
    for line in READ[code].replace("\n", " | ").strip(" |").split(" | "):
        if " ~ " in line:
            right = answers.same(*line.split(" ~ "))
        elif " : " in line:
            said, meant = line.split(" : ")
            right = answers.yes_or_no(said) is {"yes": True, "no": False, "-": None}[meant]
        else:
            said, letter = line.split(" = ")
            right = answers.letter(said, "ABCD") == (None if letter == "-" else letter)
        wrong += [] if right else [line]
    assert not wrong


def test_a_number_that_nobody_writes_in_words_is_not_spelled():
    # num2words never ends on it in Amharic.
    assert spelled(1_234_567, "am") is spelled(1_234_567, "it") is None
    assert spelled(2_000_000, "it") == "due milioni" and spelled(1_200_000, "es")
    assert spelled(9_999, "it") is not None
